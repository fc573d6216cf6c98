/** A rule of the house: what it looks for, where it does not hold, and proof that it sees a fault. */
import type { Source } from './source.ts'

export type Fault = { path: string; line: number; says: string }

export type Rule = {
  /** A sentence that is true of the whole project. */
  name: string
  faults(sources: Source[]): Fault[]
  /** Files where the rule does not hold, each with the reason. The list may only get shorter. */
  exceptions?: Record<string, string>
  /** Small projects that break the rule, each of which it must see. */
  plants: Source[][]
  /** Small projects that look like it and do not. */
  spares?: Source[][]
}

/** Faults outside the exceptions, and exceptions that nothing needs any more. */
export function check(rule: Rule, sources: Source[]): string[] {
  const excepted = rule.exceptions ?? {}
  const faults = rule.faults(sources)
  const unneeded = Object.keys(excepted)
    .filter(path => !faults.some(fault => fault.path === path))
    .map(path => `${path}: needs no exception any more; take it off the list`)
  const broken = faults
    .filter(fault => !(fault.path in excepted))
    .map(({ path, line, says }) => `${path}:${line} ${says}`)
  return [...broken, ...unneeded].sort()
}

/** Faults of every line of the code that matches. */
export function eachMatch(
  source: Source,
  text: string,
  pattern: RegExp,
  says: (found: string) => string,
): Fault[] {
  return text.split('\n').flatMap((line, at) => {
    const found = pattern.exec(line)
    return found ? [{ path: source.path, line: at + 1, says: says(found[0]) }] : []
  })
}
