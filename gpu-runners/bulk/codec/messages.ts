/** What the coding thread and the runner say to each other. */
import type { ErrorCode } from '#schemas/errors.ts'
import type { Ran, Tally } from './code.ts'
import type { Batch } from './open-batch.ts'

/** The thread asks, and gets an answer with the same id. */
export type Ask =
  | { kind: 'read'; spent?: Uint8Array }
  | { kind: 'run'; batch: Batch }
  | { kind: 'write'; bytes: Uint8Array }
export type Answer = { id: number; value: Uint8Array | null | Ran | undefined }
/** An error as it crosses the border between threads. */
export type Fault = { code: ErrorCode; public?: string; internal: string }
export type FromThread =
  | ({ id: number } & Ask)
  | { kind: 'nearly_done' }
  | { kind: 'done'; tally: Tally }
  | { kind: 'fault'; fault: Fault }
