/**
 * Which of this process's receipts are of one channel: the log is one, and each router counts off only the
 * copies of what it was answered. Too low a count is safe, a copy is then shipped twice under one id;
 * too high a one would drop a copy that the ledger does not have.
 */

/** Runs of neighbours. While the ledger is away they grow in number: past so many the newest are joined. */
const RUNS_MAX = 10_000

type Run = {
  /** Receipts of the process up to and with the last of this run. */
  upTo: number
  count: number
  /** Others' lie between them: which of them the ledger has is known when it has all. */
  isMixed: boolean
}

export class OwnReceipts {
  #runs: Run[] = []
  #shipped = 0
  readonly #max: number

  constructor(max = RUNS_MAX) {
    this.#max = max
  }

  /** The newest `count` receipts of the process, of which there are `total` now, are of this channel. */
  wrote(count: number, total: number): void {
    const last = this.#runs.at(-1)
    const isNeighbour = last?.upTo === total - count
    if (last && ((isNeighbour && !last.isMixed) || this.#runs.length >= this.#max)) {
      last.upTo = total
      last.count += count
      last.isMixed ||= !isNeighbour
    } else this.#runs.push({ upTo: total, count, isMixed: false })
  }

  /** How many of this channel are in the ledger, from its start, when it has `total` of the process. */
  shipped(total: number): number {
    let whole = 0
    for (; whole < this.#runs.length && this.#runs[whole]!.upTo <= total; whole++) {
      this.#shipped += this.#runs[whole]!.count
    }
    if (whole > 0) this.#runs.splice(0, whole)
    const [next] = this.#runs
    // Of one router under steady traffic there is a single run, which never ends.
    const part = next && !next.isMixed ? Math.max(0, total - (next.upTo - next.count)) : 0
    if (part > 0) next!.count -= part
    this.#shipped += part
    return this.#shipped
  }
}
