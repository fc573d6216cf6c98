/**
 * Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): the reply is stored in the transaction
 * that creates, so a retry after any crash finds both or neither.
 */
import { and, eq, lt, sql } from 'drizzle-orm'
import type { Database, Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { fromBase64Url, toBase64Url } from '#core/internal/signing.ts'
import type { TenantId } from '#schemas/ids.ts'
import { idempotency } from '#schemas/tables/tenants.ts'

const KEY_CHARS_MAX = 255
/** A day is promised; the rest is for clocks and for who retries a day later to the minute. */
const KEPT_H = 25
const FORGOTTEN_PER_SWEEP_MAX = 5_000

export type Attempt = {
  tenantId: TenantId
  route: string
  key: string
  /** Binds the key to one request: method, path and body. */
  fingerprint: string
  /** Given where the reply holds a secret: it is stored encrypted under this. */
  seal?: string
}

/** The header's key: a quoted string as the draft says, or bare as most clients send it. */
export function keyOf(header: string | null): string | null {
  if (header === null) return null
  const key = /^"(.*)"$/.exec(header)?.[1] ?? header
  if (key.length === 0 || key.length > KEY_CHARS_MAX) {
    throw new AppError('invalid_request', {
      public: `Idempotency-Key must have 1 to ${KEY_CHARS_MAX} characters; this has ${key.length}.`,
    })
  }
  return key
}

/** Runs the work once per key; later attempts get the stored reply. */
export async function once(
  unit: Unit,
  attempt: Attempt,
  work: () => Promise<unknown>,
): Promise<{ reply: unknown; replayed: boolean }> {
  const { tenantId, route, key, fingerprint, seal } = attempt
  const name = `${tenantId} ${route} ${key}`
  const lock = await unit.tx.execute<{ free: boolean }>(
    sql`select pg_try_advisory_xact_lock(hashtextextended(${name}, 0)) as free`,
  )
  if (!lock.rows[0]!.free) {
    throw new AppError('idempotency_in_flight', {
      public: 'A request with this Idempotency-Key is being worked on; retry in a moment.',
      retryAfterS: 1,
    })
  }
  const [stored] = await unit.tx
    .select()
    .from(idempotency)
    .where(and(eq(idempotency.route, route), eq(idempotency.key, key)))
  if (stored) {
    if (stored.fingerprint !== fingerprint) {
      throw new AppError('idempotency_mismatch', {
        public: 'This Idempotency-Key came with another path or body before; use a new key.',
      })
    }
    return { reply: JSON.parse(await unsealed(stored.reply, seal)), replayed: true }
  }
  const reply = await work()
  const text = await sealed(JSON.stringify(reply), seal)
  await unit.tx
    .insert(idempotency)
    .values({ tenantId, route, key, fingerprint, status: 'done', reply: text })
  return { reply, replayed: false }
}

/** Removes replies that no retry can expect any more; returns how many. */
export async function forget(deps: { db: Database }): Promise<number> {
  return deps.db.system(async tx => {
    const old = tx
      .select({ at: sql`ctid` })
      .from(idempotency)
      .where(lt(idempotency.createdAt, sql`now() - ${`${KEPT_H} hours`}::interval`))
      .limit(FORGOTTEN_PER_SWEEP_MAX)
    const { rowCount } = await tx.delete(idempotency).where(sql`ctid in ${old}`)
    return rowCount ?? 0
  })
}

async function sealed(text: string, seal?: string): Promise<string> {
  if (!seal) return text
  const iv = crypto.getRandomValues(new Uint8Array(12))
  const key = await sealKey(seal, 'encrypt')
  const bytes = await crypto.subtle.encrypt(
    { name: 'AES-GCM', iv },
    key,
    new TextEncoder().encode(text),
  )
  return `${toBase64Url(iv)}.${toBase64Url(new Uint8Array(bytes))}`
}

async function unsealed(text: string, seal?: string): Promise<string> {
  if (!seal) return text
  const [iv, bytes] = text.split('.')
  try {
    const key = await sealKey(seal, 'decrypt')
    const algorithm = { name: 'AES-GCM', iv: fromBase64Url(iv!) }
    return new TextDecoder().decode(
      await crypto.subtle.decrypt(algorithm, key, fromBase64Url(bytes!)),
    )
  } catch (cause) {
    throw new AppError('idempotency_mismatch', {
      public: 'This Idempotency-Key was used with another API key, and the reply holds a secret.',
      cause,
    })
  }
}

function sealKey(seal: string, use: 'encrypt' | 'decrypt') {
  return crypto.subtle.importKey('raw', fromBase64Url(seal), 'AES-GCM', false, [use])
}
