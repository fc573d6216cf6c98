/** Bodies that are looked at by hand. */
import { AppError } from '#core/error.ts'

const decoder = new TextDecoder()

/** A JSON object. Throws `invalid_body`. */
export function jsonOf(body: Uint8Array): Record<string, unknown> {
  try {
    const given = JSON.parse(decoder.decode(body))
    if (given !== null && typeof given === 'object' && !Array.isArray(given)) return given
  } catch (cause) {
    throw new AppError('invalid_body', {
      public: `The body is not JSON: ${(cause as Error).message}`,
    })
  }
  throw new AppError('invalid_body', { public: 'The body must be a JSON object.' })
}
