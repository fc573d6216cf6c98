/**
 * The router's copies of receipts that a runner's replies carried, until the ledger has them: a spot
 * disk may be lost with its runner. If it is not, the ledger keeps one of each.
 */
import type { InferenceCall } from '#core/deps.ts'
import { contextLine, type ReceiptLine } from '#core/usage/receipt-log.ts'
import { receiptContextOf } from './receipts.ts'

export class ReceiptCopies {
  /** Oldest first. A caller that gave up leaves a gap, so that copies can still be counted off. */
  #copies: ({ call: InferenceCall; line: Buffer } | null)[] = []
  #dropped = 0

  push(copy: { call: InferenceCall; line: Buffer } | null): void {
    this.#copies.push(copy)
  }

  /** The ledger has so many receipts of this channel, from its start. */
  drop(shipped: number): void {
    this.#copies.splice(0, shipped - this.#dropped)
    this.#dropped = Math.max(this.#dropped, shipped)
  }

  /** What is left, as the lines of a receipt log with contexts numbered anew. */
  lines(): string[] {
    const lines: string[] = []
    const numbers = new Map<string, number>()
    for (const copy of this.#copies) {
      if (!copy) continue
      const context = receiptContextOf({ caller: copy.call.call.caller, model: copy.call.model })
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
}
