/** What the supervisor asks of the functions, signed with a key of its own. */
import { AppError } from '#core/error.ts'
import { openSigner, placeKey, sha256Hex, TOKEN_HEADER } from '#core/internal/signing.ts'

const PATIENCE_MS = 10_000

/** Throws `unavailable` with what the functions said. */
export async function openAsking(signingKey: string, port: number) {
  const signer = await openSigner('supervisor', await placeKey(signingKey, 'supervisor'))
  return async <T>(path: string, input: unknown, signal?: AbortSignal): Promise<T> => {
    const late = AbortSignal.timeout(PATIENCE_MS)
    const body = JSON.stringify(input)
    const claims = { call: null, method: 'POST', path, body: await sha256Hex(body) }
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      method: 'POST',
      headers: { [TOKEN_HEADER]: await signer.sign(claims, Date.now()) },
      body,
      signal: signal ? AbortSignal.any([signal, late]) : late,
    })
    if (response.ok) return (await response.json()) as T
    throw new AppError('unavailable', {
      public: `The functions answered ${path} with status ${response.status}; the logs are in the data folder.`,
      internal: await response.text(),
    })
  }
}
