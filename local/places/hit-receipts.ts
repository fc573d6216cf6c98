/** Receipts of the edge's own answers, in a log on its disk like a runner's: a kill -9 loses none. */
import type { Clock, Log } from '#core/deps.ts'
import { contextLine, receiptLine } from '#core/usage/receipt-log.ts'
import type { HitReceipts } from '#edge/response-cache/receipts.ts'
import { type NumberedContext, openReceiptLog } from '#gpu-runners/online/receipt-log.ts'

/** A few hundred bytes each. Forgetting them only means writing their lines again. */
const CONTEXTS_MAX = 10_000

export function loggedReceipts(
  deps: { clock: Clock; log: Log },
  o: { folder: string; ship(lines: string): Promise<void> },
): HitReceipts & { close(waitMs: number): Promise<void> } {
  const log = openReceiptLog(deps, { ...o, onShipped() {} })
  const contexts = new Map<string, NumberedContext>()
  let nextNumber = 0
  let turn: { context: NumberedContext; line: string }[] = []
  let written: Promise<void> | null = null

  /** All hits of a turn of the event loop share one write. */
  async function write(): Promise<void> {
    await new Promise(setImmediate)
    const lines = turn
    turn = []
    written = null
    log.append(lines)
    await log.overdue()
  }

  return {
    append(is, receipt) {
      const text = JSON.stringify(is)
      let context = contexts.get(text)
      if (!context) {
        if (contexts.size >= CONTEXTS_MAX) contexts.clear()
        context = { number: nextNumber, line: contextLine(nextNumber, is) }
        contexts.set(text, context)
        nextNumber++
      }
      turn.push({ context, line: receiptLine(context.number, receipt) })
      written ??= write()
      return written
    },
    close: waitMs => log.close(waitMs),
  }
}
