/**
 * Receipts: the proof of one unit of work, which every bill is made of. The id is computed from what
 * was done, so that a retry, a redelivery or a second witness of the same work makes the same receipt
 * and the ledger keeps one.
 */
import type { KeyId, TenantId } from '#schemas/ids.ts'

/** What many receipts share. */
export type ReceiptContext = {
  tenantId: TenantId
  keyId: KeyId
  project: string | null
  tags: Record<string, string>
  /**
   * `cached`: answered by the edge, from what it keeps of an earlier answer; `shadow`: run for a rollout's
   * sake, beside the answer that its caller got.
   */
  kind: 'online' | 'cached' | 'shadow' | 'bulk' | 'training_set' | 'proof'
  /** Of a training set the feature service, of a proof the view, with its version and hash. */
  model: string
  version: number
  digest: string
  priceBook: string
}

export type Receipt = {
  id: string
  /** The request id, or run id and shard as `run_…/3`. */
  work: string
  /** Unix milliseconds at which the work was done. */
  at: number
  requests: number
  rows: number
  /** This caller's share of its batch; the shares of one batch add up to its measured time. */
  computeUs: number
  bytesIn: number
  bytesOut: number
  /** Of text that a tokeniser cut, or of token ids that were sent; absent where there is no text. */
  tokens?: number
}

/** Prices come with billing; until then every receipt names the book that has none. */
export const PRICE_BOOK = 'none'

/** The text whose SHA-256 identifies a unit of work. */
export const receiptText = (tenantId: TenantId, work: string) => `${tenantId}\n${work}`

/**
 * The id: the time part of the work's own id (10 characters), so that the ledger's index grows at its
 * right edge, then 96 bits of the digest of `receiptText`.
 */
export function receiptId(work: string, digestHex: string): string {
  return `rcp_${work.slice(4, 14)}${digestHex.slice(0, 24)}`
}
