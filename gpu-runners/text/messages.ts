/** What a tokenising thread is asked, and what it answers: one question at a time. */
import type { ErrorCode } from '#schemas/errors.ts'

/** `path` is read when the thread has not met the tokeniser; `drop` forgets it, and is not answered. */
export type Question =
  | { tokenizer: number; path: string; texts: readonly string[]; tokensMax?: number }
  | { drop: number }
/** Said once, before all answers: its code is loaded. */
export type Ready = 'ready'
export type Answer =
  | {
      /** Of all texts, one behind the other. */
      ids: Int32Array<ArrayBuffer>
      lengths: number[]
      vocabulary: number
    }
  | { code: ErrorCode; public: string; index: number }
