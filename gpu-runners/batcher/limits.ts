/** Bounds of batches and of what waits for one. */

export type BatchLimits = {
  /** Rows of one run. */
  batchRowsMax: number
  /** Bytes of input of one run; a single larger row still runs. */
  batchBytesMax: number
  /** What may wait, of one tenant half of it; beyond it callers are told when to come back. */
  queueRowsMax: number
  queueBytesMax: number
}
export const BATCH_LIMITS: BatchLimits = {
  // Small models gain nothing past it, and a caller behind a batch waits for all of it.
  batchRowsMax: 256,
  batchBytesMax: 8 * 2 ** 20,
  queueRowsMax: 32_768,
  queueBytesMax: 256 * 2 ** 20,
}
