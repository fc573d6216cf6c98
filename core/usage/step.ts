/** What a step of a run is billed by: its receipt commits with its end. */
import type { Unit } from '#core/deps.ts'
import { sha256Hex } from '#core/internal/signing.ts'
import type { KeyId, TenantId } from '#schemas/ids.ts'
import { append } from './ledger.ts'
import { PRICE_BOOK, type Receipt, type ReceiptContext, receiptId, receiptText } from './receipt.ts'

type Step = {
  run: {
    id: string
    tenantId: TenantId
    keyId: KeyId
    project: string | null
    tags: Record<string, string>
  }
  step: { number: number }
}
type Of = Pick<ReceiptContext, 'kind' | 'model' | 'version' | 'digest'>
type Used = Pick<Receipt, 'rows' | 'computeUs' | 'bytesIn' | 'bytesOut' | 'tokens'>

/** In the transaction that ends the step; a second time changes nothing. */
export async function bill(unit: Unit, { run, step }: Step, of: Of, used: Used): Promise<void> {
  const { tenantId, keyId, project, tags } = run
  const work = `${run.id}/${step.number}`
  const context: ReceiptContext = { tenantId, keyId, project, tags, ...of, priceBook: PRICE_BOOK }
  const receipt: Receipt = {
    id: receiptId(work, await sha256Hex(receiptText(tenantId, work))),
    work,
    at: unit.clock.now(),
    requests: 0,
    ...used,
  }
  await append(unit, [{ context, receipts: [receipt] }])
}
