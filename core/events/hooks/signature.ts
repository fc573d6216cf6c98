/**
 * Signatures of webhooks, by the texts of those who sign: Standard Webhooks 1.0.0 (also under Svix's older
 * header names), Stripe ("Verify webhook signatures manually"), GitHub ("Validating webhook deliveries").
 * All over the raw body; compared by WebCrypto's `verify`, which takes the same time wherever they differ.
 */
import { joined } from '#core/bytes.ts'
import { AppError } from '#core/error.ts'
import { fromHex } from '#core/internal/signing.ts'
import type { HookScheme } from '#schemas/hook.ts'

export type SecretKey = {
  algorithm: 'HMAC' | 'Ed25519'
  key: Awaited<ReturnType<typeof crypto.subtle.importKey>>
}
export type Received = { header(name: string): string | undefined; body: Uint8Array }
/**
 * `id` is the sender's for the event, where the scheme gives one beside the body. `stale`: signed by one of
 * the keys, but for a time `offByS` seconds from now.
 */
export type Verdict =
  | { verdict: 'genuine'; id: string | null }
  | { verdict: 'stale'; offByS: number }
  | { verdict: 'forged' }

/** More signatures in one header than any rotation needs. */
const SIGNATURES_MAX = 10
/** Also of what stands for time: a text that two readers read alike. */
const SECONDS = /^[1-9]\d{0,11}$/
const HEX_256 = /^[0-9a-f]{64}$/i

type Signature = { algorithm: SecretKey['algorithm']; bytes: Uint8Array }
type Claim = {
  id: string | null
  /** What was signed. */
  message: Uint8Array
  signatures: Signature[]
  /** Unix seconds; null where the scheme signs no time. */
  at: number | null
}

/** The key of a secret. Throws `invalid_body` where it has not the scheme's form. */
export async function keyOf(scheme: HookScheme, secret: string): Promise<SecretKey> {
  if (scheme !== 'standard-webhooks') return hmac(utf8(secret))
  const [, kind, text = ''] = /^(whsec|whpk)_(.*)$/.exec(secret) ?? []
  const bytes = fromBase64(text)
  if (kind === 'whpk' && bytes?.length === 32) {
    const key = await crypto.subtle.importKey('raw', bytes, 'Ed25519', false, ['verify'])
    return { algorithm: 'Ed25519', key }
  }
  if (kind === 'whsec' && bytes && bytes.length >= 16) return hmac(bytes)
  throw new AppError('invalid_body', {
    public:
      'A secret of Standard Webhooks is "whsec_" and at least 16 bytes in base64, or "whpk_" and a public key of Ed25519, 32 bytes.',
  })
}

/** Whether one of the keys signed just this, about now. */
export async function judged(
  scheme: HookScheme,
  keys: readonly SecretKey[],
  received: Received,
  { nowMs, toleranceS }: { nowMs: number; toleranceS: number },
): Promise<Verdict> {
  const claim = CLAIMS[scheme](received)
  if (!claim || !(await isSigned(keys, claim))) return { verdict: 'forged' }
  const { id, at } = claim
  const offByS = at === null ? 0 : Math.abs(nowMs / 1_000 - at)
  return offByS <= toleranceS ? { verdict: 'genuine', id } : { verdict: 'stale', offByS }
}

const CLAIMS: Record<HookScheme, (received: Received) => Claim | null> = {
  'standard-webhooks': received => standard(received, 'webhook') ?? standard(received, 'svix'),
  stripe,
  github,
}

async function isSigned(keys: readonly SecretKey[], claim: Claim): Promise<boolean> {
  const message = claim.message as Uint8Array<ArrayBuffer>
  for (const { algorithm, key } of keys) {
    for (const signature of claim.signatures.slice(0, SIGNATURES_MAX)) {
      if (signature.algorithm !== algorithm) continue
      const bytes = signature.bytes as Uint8Array<ArrayBuffer>
      if (await crypto.subtle.verify(algorithm, key, bytes, message)) return true
    }
  }
  return false
}

/** `id.timestamp.body`: an id with a point could be cut at another, and then say something else. */
function standard({ header, body }: Received, prefix: string): Claim | null {
  const id = header(`${prefix}-id`)
  const time = header(`${prefix}-timestamp`)
  const signature = header(`${prefix}-signature`)
  if (!id || id.includes('.') || !time || !SECONDS.test(time) || !signature) return null
  const signatures = signature.split(' ').flatMap((part): Signature[] => {
    const [version, text = ''] = part.split(',')
    const bytes = fromBase64(text)
    if (version === 'v1' && bytes) return [{ algorithm: 'HMAC', bytes }]
    return version === 'v1a' && bytes ? [{ algorithm: 'Ed25519', bytes }] : []
  })
  return { id, message: joined([utf8(`${id}.${time}.`), body]), signatures, at: Number(time) }
}

/** `t=…,v1=…,v1=…`: signed is `t.body`; other versions than v1 are of other days. */
function stripe({ header, body }: Received): Claim | null {
  const parts = (header('stripe-signature') ?? '').split(',').map(part => part.trim().split('='))
  const times = parts.filter(([name]) => name === 't')
  const time = times[0]?.[1] ?? ''
  if (times.length !== 1 || !SECONDS.test(time)) return null
  const signatures = parts.flatMap(([name, text = '']) =>
    name === 'v1' && HEX_256.test(text)
      ? [{ algorithm: 'HMAC' as const, bytes: fromHex(text) }]
      : [],
  )
  return { id: null, message: joined([utf8(`${time}.`), body]), signatures, at: Number(time) }
}

/** Over the body alone: neither the delivery's id nor a time is signed. */
function github({ header, body }: Received): Claim | null {
  const [, text = ''] = /^sha256=(.*)$/.exec(header('x-hub-signature-256') ?? '') ?? []
  if (!HEX_256.test(text)) return null
  const signatures = [{ algorithm: 'HMAC' as const, bytes: fromHex(text) }]
  return { id: header('x-github-delivery') ?? null, message: body, signatures, at: null }
}

async function hmac(bytes: Uint8Array<ArrayBuffer>): Promise<SecretKey> {
  const algorithm = { name: 'HMAC', hash: 'SHA-256' }
  const key = await crypto.subtle.importKey('raw', bytes, algorithm, false, ['verify'])
  return { algorithm: 'HMAC', key }
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> | null {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return null
  try {
    return Uint8Array.from(atob(text), char => char.charCodeAt(0)) as Uint8Array<ArrayBuffer>
  } catch {
    return null
  }
}

function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text) as Uint8Array<ArrayBuffer>
}
