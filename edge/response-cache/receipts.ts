/** Receipts of hits: what the edge answers by itself it bills by itself, before the answer leaves. */
import type { Receipt, ReceiptContext } from '#core/usage/receipt.ts'
import { linesOf, receiptLine } from '#core/usage/receipt-log.ts'
import type { EdgeDeps } from '../deps.ts'
import { ask } from '../functions-client.ts'

export type HitReceipts = {
  /** Resolves when the receipt cannot be lost any more; rejects where it may be. */
  append(context: ReceiptContext, receipt: Omit<Receipt, 'requests'>): Promise<void>
}

type Hit = { context: ReceiptContext; line(number: number): string }
type Deps = Pick<EdgeDeps, 'functions' | 'signer' | 'clock' | 'background'>

/**
 * For an edge without a disk: an answer waits until the ledger has its receipt. One request at a time
 * carries all that have come meanwhile, so that under load a commit is shared by many.
 */
export function shippedReceipts(deps: Deps): HitReceipts {
  /** Those that leave together, once the ones before have. */
  let gathering: { hits: Hit[]; shipped: Promise<void> } | null = null
  let last: Promise<void> = Promise.resolve()

  /** In the name of the request that came first: in workerd a promise is resolved where it was made. */
  async function ship(hits: Hit[], before: Promise<void>): Promise<void> {
    await before.catch(() => {})
    gathering = null
    await ask(deps, '/internal/receipts', { lines: linesOf(hits).map(line => JSON.parse(line)) })
  }

  return {
    append(context, receipt) {
      const hit = { context, line: (number: number) => receiptLine(number, receipt) }
      if (gathering) gathering.hits.push(hit)
      else {
        const hits = [hit]
        const shipped = ship(hits, last)
        gathering = { hits, shipped }
        last = shipped
        // It goes on for the others when its own caller has gone.
        deps.background(shipped.catch(() => {}))
      }
      return gathering.shipped
    },
  }
}
