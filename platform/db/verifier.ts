/**
 * What PostgreSQL keeps in place of a password, computed here, so that the password itself is in no
 * statement, and so in no log of the server: SCRAM-SHA-256 (RFC 5802 §3, RFC 7677), in the form in which
 * the server stores it: `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.
 */
import { createHash, createHmac, pbkdf2 as derive, randomBytes, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { AppError } from '#core/error.ts'

/** As the server's own, and the least of RFC 7677: each new connection computes them. */
const ITERATIONS = 4096
const SALT_BYTES = 16
const KEY_BYTES = 32
const FORM = /^SCRAM-SHA-256\$(\d+):([A-Za-z0-9+/=]+)\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+$/
const pbkdf2 = promisify(derive)

/** A verifier of the password with a salt of its own. Throws `invalid_request` as {@link refuseUnprepared}. */
export function verifierOf(password: string): Promise<string> {
  return verifier(password, ITERATIONS, randomBytes(SALT_BYTES))
}

/** Whether what the server keeps is a verifier of this password. */
export async function isVerifierOf(kept: string, password: string): Promise<boolean> {
  const [, iterations, salt] = FORM.exec(kept) ?? []
  if (iterations === undefined || salt === undefined) return false
  const ours = await verifier(password, Number(iterations), Buffer.from(salt, 'base64'))
  return ours.length === kept.length && timingSafeEqual(Buffer.from(ours), Buffer.from(kept))
}

async function verifier(password: string, iterations: number, salt: Buffer): Promise<string> {
  refuseUnprepared(password)
  const salted = await pbkdf2(password, salt, iterations, KEY_BYTES, 'sha256')
  const keyOf = (name: string) => createHmac('sha256', salted).update(name).digest()
  const stored = createHash('sha256').update(keyOf('Client Key')).digest('base64')
  const server = keyOf('Server Key').toString('base64')
  return `SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${stored}:${server}`
}

/**
 * Clients prepare other characters by SASLprep (RFC 4013), each a little differently; these it leaves
 * as they are.
 */
function refuseUnprepared(password: string): void {
  if (/^[\x20-\x7e]+$/.test(password)) return
  const public_ =
    password === ''
      ? 'The password of the database role galley_app is empty: give it at least one character.'
      : 'The password of the database role galley_app has characters beyond printable ASCII (space to ~): take one without them, such as 64 hex digits of "openssl rand -hex 32".'
  throw new AppError('invalid_request', { public: public_ })
}
