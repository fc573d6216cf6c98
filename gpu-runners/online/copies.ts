/**
 * The router's copies of receipts that a runner's replies carried, until the ledger has them: a spot
 * disk may be lost with its runner. If it is not, the ledger keeps one of each.
 */
import { contextLine, type ReceiptLine } from '#core/usage/receipt-log.ts'
import type { Shared } from './messages.ts'
import { receiptContextOf } from './receipts.ts'

/** While the ledger is away copies pile up; the oldest go, for the runner's own log has them too. */
const COPIES_MAX = 100_000

type Copy = Shared & { line: Buffer }

export class ReceiptCopies {
  /** Oldest first. A caller that gave up leaves a gap, so that copies can still be counted off. */
  #copies: (Copy | null)[] = []
  #added = 0
  /** How many are in the ledger, which may be ahead of the replies. */
  #dropped = 0
  readonly #max: number

  constructor(max = COPIES_MAX) {
    this.#max = max
  }

  push({ caller, model, kind }: Shared, line: Buffer): void {
    // The line is a view of all that came with it, other callers' replies included.
    this.#add({ caller, model, kind, line: Buffer.from(line) })
  }

  pushGap(): void {
    this.#add(null)
  }

  /** The ledger has so many receipts of this channel, from its start. */
  drop(shipped: number): void {
    if (shipped <= this.#dropped) return
    const first = this.#added - this.#copies.length
    this.#copies.splice(0, Math.max(0, shipped - first))
    this.#dropped = shipped
  }

  /** What is left, as the lines of a receipt log with contexts numbered anew. */
  lines(): string[] {
    const lines: string[] = []
    const numbers = new Map<string, number>()
    for (const copy of this.#copies) {
      if (!copy) continue
      const context = receiptContextOf(copy)
      const text = JSON.stringify(context)
      let number = numbers.get(text)
      if (number === undefined) {
        number = numbers.size
        numbers.set(text, number)
        lines.push(contextLine(number, context))
      }
      const [, ...rest] = JSON.parse(copy.line.toString()) as ReceiptLine
      lines.push(JSON.stringify([number, ...rest]))
    }
    return lines
  }

  #add(copy: Copy | null): void {
    // A tenth at once: one by one each push would move them all.
    if (this.#copies.length >= this.#max) this.drop(this.#dropped + Math.ceil(this.#max / 10))
    this.#added++
    if (this.#added > this.#dropped) this.#copies.push(copy)
  }
}
