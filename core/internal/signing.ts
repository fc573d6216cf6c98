/**
 * Signatures between places. The edge signs each internal request; functions, router, objects and the
 * blob host accept nothing unsigned. A token binds who asks, method, path and body, and ends soon.
 * Each place signs with a key of its own, derived from the deployment's secret, so that a runner's key
 * cannot speak for the edge.
 * Form: `v1.<place>.<payload>.<mac>`; mac is HMAC-SHA256 (RFC 2104) over all before it.
 */
import type { Call } from '#core/caller.ts'
import { AppError } from '#core/error.ts'

export const TOKEN_HEADER = 'galley-internal'
/** Body hash of a stream, whose bytes are checked by their own digest where they are stored. */
export const STREAMED = 'streamed'
const TOKEN_TTL_MS = 60_000
/** Clocks of two machines may differ by this much. */
const SKEW_MS = 30_000

export const PLACES = ['edge', 'functions', 'runner', 'supervisor'] as const
export type Place = (typeof PLACES)[number]

export type Claims = {
  /** On whose behalf; null for the platform's own work. */
  call: Call | null
  method: string
  path: string
  /** SHA-256 of the body in hex, or `streamed`. */
  body: string
  /** A key derived from the caller's own, for replies that must be stored sealed. */
  seal?: string
}
export type Verified = Claims & { from: Place; expiresAt: number }

export type Signer = { sign(claims: Claims, nowMs: number): Promise<string> }
export type Verifier = {
  /** The claims. Throws `unauthenticated` when the token is missing, forged, stale or for another request. */
  verify(
    token: string | null | undefined,
    request: { method: string; path: string; body: Uint8Array | typeof STREAMED },
    nowMs: number,
  ): Promise<Verified>
}

/**
 * The path and query that a token says it is for, unverified: where a gateway has changed the path on its
 * way, the one that was signed is the one that was sent.
 */
export function signedPath(token: string | null | undefined): string | null {
  const [, , payload] = (token ?? '').split('.')
  if (!payload) return null
  try {
    const { path } = JSON.parse(new TextDecoder().decode(fromBase64Url(payload))) as Partial<Claims>
    return typeof path === 'string' && path.startsWith('/') ? path : null
  } catch {
    return null
  }
}

/** The signing key of one place, base64url. */
export async function placeKey(secret: string, place: Place): Promise<string> {
  const mac = await crypto.subtle.sign('HMAC', await hmacKey(utf8(secret)), utf8(`galley ${place}`))
  return toBase64Url(new Uint8Array(mac))
}

/** Signs as one place with that place's key. */
export async function openSigner(place: Place, keyOfPlace: string): Promise<Signer> {
  const key = await hmacKey(fromBase64Url(keyOfPlace))
  return {
    async sign(claims, nowMs) {
      const payload = JSON.stringify({ ...claims, expiresAt: nowMs + TOKEN_TTL_MS })
      const signed = `v1.${place}.${toBase64Url(utf8(payload))}`
      const mac = await crypto.subtle.sign('HMAC', key, utf8(signed))
      return `${signed}.${toBase64Url(new Uint8Array(mac))}`
    },
  }
}

/** Verifies tokens of the places whose keys are given; all others are refused. */
export async function openVerifier(keys: Partial<Record<Place, string>>): Promise<Verifier> {
  const byPlace = new Map<string, HmacKey>()
  for (const [place, key] of Object.entries(keys)) {
    byPlace.set(place, await hmacKey(fromBase64Url(key)))
  }
  return {
    async verify(token, request, nowMs) {
      const [version, place, payload, mac] = (token ?? '').split('.')
      const key = byPlace.get(place ?? '')
      if (version !== 'v1' || !key || !payload || !mac) throw refused('no internal token')
      const signed = utf8(`v1.${place}.${payload}`)
      const genuine = await crypto.subtle.verify('HMAC', key, fromBase64Url(mac), signed)
      if (!genuine) throw refused('forged internal token')
      const claims = JSON.parse(new TextDecoder().decode(fromBase64Url(payload))) as Verified
      if (claims.expiresAt + SKEW_MS < nowMs) throw refused('stale internal token')
      if (claims.method !== request.method || claims.path !== request.path) {
        throw refused(`token of ${claims.method} ${claims.path} used for another request`)
      }
      const body = request.body === STREAMED ? STREAMED : await sha256Hex(request.body)
      if (claims.body !== body) throw refused('token of another body')
      return { ...claims, from: place as Place }
    },
  }
}

function hmacKey(bytes: Uint8Array<ArrayBuffer>): Promise<HmacKey> {
  const algorithm = { name: 'HMAC', hash: 'SHA-256' }
  return crypto.subtle.importKey('raw', bytes, algorithm, false, ['sign', 'verify'])
}

type HmacKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>

export async function sha256Hex(bytes: Uint8Array | string): Promise<string> {
  const input = typeof bytes === 'string' ? utf8(bytes) : bytes
  const digest = await crypto.subtle.digest('SHA-256', input as Uint8Array<ArrayBuffer>)
  return toHex(new Uint8Array(digest))
}

export function toHex(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0')
  return text
}

export function fromHex(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text.match(/../g) ?? [], pair =>
    Number.parseInt(pair, 16),
  ) as Uint8Array<ArrayBuffer>
}

export function toBase64Url(bytes: Uint8Array): string {
  let binary = ''
  for (const byte of bytes) binary += String.fromCharCode(byte)
  return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

export function fromBase64Url(text: string): Uint8Array<ArrayBuffer> {
  try {
    const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'))
    return Uint8Array.from(binary, char => char.charCodeAt(0)) as Uint8Array<ArrayBuffer>
  } catch {
    throw refused('not base64url')
  }
}

function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text) as Uint8Array<ArrayBuffer>
}

function refused(internal: string): AppError {
  return new AppError('unauthenticated', {
    public: 'This endpoint takes signed requests only.',
    internal,
  })
}
