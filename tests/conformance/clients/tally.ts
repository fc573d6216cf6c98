/** Cases as they are run: told one line each, counted, and those that cannot be run named with the reason. */
export type Excluded = { case: string; reason: string }

export class Tally {
  passed = 0
  failed = 0
  readonly excluded: Excluded[] = []
  #group = ''

  /** What the names of the following cases begin with. */
  group(name: string): void {
    this.#group = name
  }

  /** Passes when the work resolves. */
  async case(name: string, work: () => Promise<void> | void): Promise<void> {
    try {
      await work()
      this.result(name, null)
    } catch (error) {
      this.result(name, error instanceof Error ? error.message : String(error))
    }
  }

  result(name: string, failure: string | null): void {
    if (failure === null) this.passed++
    else this.failed++
    print(
      failure === null
        ? `ok      ${this.#group}${name}`
        : `FAILED  ${this.#group}${name}\n${indented(failure)}`,
    )
  }

  /** Said once, however many edges it is left out on. */
  leaveOut(name: string, reason: string): void {
    if (this.excluded.some(each => each.case === name)) return
    this.excluded.push({ case: name, reason })
    print(`left out  ${name}: ${reason}`)
  }
}

export function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

function indented(text: string): string {
  return text
    .split('\n')
    .map(line => `        ${line}`)
    .join('\n')
}
