/** From a piece of online work to its receipt: made and signed by the runner that did it. */
import { hash } from 'node:crypto'
import {
  PRICE_BOOK,
  type Receipt,
  type ReceiptContext,
  receiptId,
  receiptText,
} from '#core/usage/receipt.ts'
import type { TenantId } from '#schemas/ids.ts'
import type { Shared } from './messages.ts'

export function receiptContextOf({ caller, model, kind }: Shared): ReceiptContext {
  return {
    tenantId: caller.tenantId,
    keyId: caller.keyId,
    project: caller.project,
    tags: caller.tags,
    kind: kind === 'shadow' ? kind : 'online',
    model: model.model,
    version: model.version,
    digest: model.digest,
    priceBook: PRICE_BOOK,
  }
}

export function onlineReceipt(
  tenantId: TenantId,
  work: Omit<Receipt, 'id' | 'requests'>,
): Omit<Receipt, 'requests'> {
  return { ...work, id: receiptId(work.work, hash('sha256', receiptText(tenantId, work.work))) }
}
