/** Tests that did not run, and whether somebody said that they would not. */
import type { Excluded } from '../conformance/engines.ts'

/** Of vitest's report: `fullName` has the suite, which names its server in brackets, before the title. */
export type Result = { status: string; title: string; fullName: string }

/** Of the tests that did not run, those that no exclusion names for their server. */
export function leftOut(tests: Result[], excluded: Excluded[]): string[] {
  return tests
    .filter(({ status }) => status !== 'passed' && status !== 'failed')
    .filter(
      ({ title, fullName }) =>
        !excluded.some(each => each.case === title && fullName.includes(`(${each.server})`)),
    )
    .map(({ fullName }) => fullName)
}
