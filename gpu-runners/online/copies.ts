/**
 * The router's copies of receipts that a runner's replies carried, until the ledger has them: a spot
 * disk may be lost with its runner. If it is not, the ledger keeps one of each.
 */
import { inCarried } from '#core/carried.ts'
import type { ReceiptContext } from '#core/usage/receipt.ts'
import { linesOf, type ReceiptLine } from '#core/usage/receipt-log.ts'
import type { Shared } from './messages.ts'
import { receiptContextOf } from './receipts.ts'

/** While the ledger is away copies pile up; the oldest go, for the runner's own log has them too. */
const COPIES_MAX = 100_000

/** Lines of a few hundred requests: each as an object of its own is what garbage collection copies most here. */
const PAGE_BYTES = 65_536

export class ReceiptCopies {
  /** Oldest first. A caller that gave up leaves a gap, so that copies can still be counted off. */
  #owners: (Shared | null)[] = []
  /** Where the line of each of them is. */
  #pages: Buffer[] = []
  #starts: number[] = []
  #ends: number[] = []
  #owner: Shared | null = null
  #page = Buffer.allocUnsafeSlow(PAGE_BYTES)
  #at = 0
  #added = 0
  /** How many are in the ledger, which may be ahead of the replies. */
  #dropped = 0
  readonly #max: number

  constructor(max = COPIES_MAX) {
    this.#max = max
  }

  push({ caller, model, kind }: Shared, line: Buffer): void {
    const known = this.#owner
    if (known?.caller !== caller || known.model !== model || known.kind !== kind) {
      this.#owner = { caller, model, kind }
    }
    if (this.#at + line.length > this.#page.length) {
      this.#page = Buffer.allocUnsafeSlow(Math.max(PAGE_BYTES, line.length))
      this.#at = 0
    }
    // The line is a view of all that came with it, other callers' replies included.
    this.#page.set(line, this.#at)
    this.#add(this.#owner, this.#at, this.#at + line.length)
    this.#at += line.length
  }

  pushGap(): void {
    this.#add(null, 0, 0)
  }

  /** The ledger has so many receipts of this channel, from its start. */
  drop(shipped: number): void {
    if (shipped <= this.#dropped) return
    const first = this.#added - this.#owners.length
    const count = Math.max(0, shipped - first)
    for (const each of [this.#owners, this.#pages, this.#starts, this.#ends]) each.splice(0, count)
    this.#dropped = shipped
  }

  /** What is left, as the lines of receipt logs, none larger than can be carried, each with contexts of its own. */
  logs(): string[][] {
    const json = ({ context, line }: { context: ReceiptContext; line(number: number): string }) =>
      JSON.stringify(context) + line(0)
    return inCarried([...this.#left()], json).map(linesOf)
  }

  *#left() {
    for (const [i, owner] of this.#owners.entries()) {
      if (!owner) continue
      const line = this.#pages[i]!.toString('utf8', this.#starts[i], this.#ends[i])
      const [, ...rest] = JSON.parse(line) as ReceiptLine
      const numbered = (number: number) => JSON.stringify([number, ...rest])
      yield { context: receiptContextOf(owner), line: numbered }
    }
  }

  #add(owner: Shared | null, start: number, end: number): void {
    // A tenth at once: one by one each push would move them all.
    if (this.#owners.length >= this.#max) this.drop(this.#dropped + Math.ceil(this.#max / 10))
    this.#added++
    if (this.#added <= this.#dropped) return
    this.#owners.push(owner)
    this.#pages.push(this.#page)
    this.#starts.push(start)
    this.#ends.push(end)
  }
}
