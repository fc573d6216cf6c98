/** Bytes that a process holds for its callers: bounded in all, so that none of them ends it for the others. */
import { AppError } from './error.ts'

const RETRY_AFTER_S = 1

export class HeldBytes {
  readonly #max: number
  readonly #byHolder = new Map<object, number>()
  #bytes = 0

  constructor(bytesMax: number) {
    this.#max = bytesMax
  }

  /** What this one holds from now on, and never less than before. Throws a retryable `unavailable`. */
  hold(holder: object, bytes: number): void {
    const before = this.#byHolder.get(holder) ?? 0
    if (bytes <= before) return
    if (this.#bytes - before + bytes > this.#max) {
      throw new AppError('unavailable', {
        public: 'Too many large bodies are being taken here at once; try again in a moment.',
        internal: `${this.#bytes} of ${this.#max} bytes are held, and ${bytes - before} more were wanted`,
        retryable: true,
        retryAfterS: RETRY_AFTER_S,
      })
    }
    this.#bytes += bytes - before
    this.#byHolder.set(holder, bytes)
  }

  release(holder: object): void {
    this.#bytes -= this.#byHolder.get(holder) ?? 0
    this.#byHolder.delete(holder)
  }
}
