/**
 * Secrets that must be used again, and so cannot be stored as hashes: encrypted with AES-256-GCM (NIST SP
 * 800-38D) under a key derived from the deployment's secret. A ciphertext is bound to its place: moved
 * elsewhere, or to another tenant, it does not open.
 */
import { AppError } from '#core/error.ts'
import { fromBase64Url, toBase64Url } from './signing.ts'

const FORM = 'v1'
const IV_BYTES = 12

export type Vault = {
  /** `place` names where the text is kept, unambiguously. */
  seal(text: string, place: string): Promise<string>
  /** Throws `internal` when it was sealed for another place, or under another key. */
  open(sealed: string, place: string): Promise<string>
}

export async function openVault(secret: string): Promise<Vault> {
  const key = await keyOf(secret)
  return {
    async seal(text, place) {
      const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES))
      const bytes = await crypto.subtle.encrypt(bound(iv, place), key, utf8(text))
      return `${FORM}.${toBase64Url(iv)}.${toBase64Url(new Uint8Array(bytes))}`
    },
    async open(sealed, place) {
      const [form, iv = '', bytes = ''] = sealed.split('.')
      try {
        if (form !== FORM) throw new Error(`the form is "${form}"`)
        const algorithm = bound(fromBase64Url(iv), place)
        const text = await crypto.subtle.decrypt(algorithm, key, fromBase64Url(bytes))
        return new TextDecoder().decode(text)
      } catch (cause) {
        throw new AppError('internal', {
          internal: `a sealed secret does not open: ${place}`,
          cause,
        })
      }
    },
  }
}

function bound(iv: Uint8Array<ArrayBuffer>, place: string) {
  return { name: 'AES-GCM', iv, additionalData: utf8(place) }
}

async function keyOf(secret: string) {
  const hmac = { name: 'HMAC', hash: 'SHA-256' }
  const root = await crypto.subtle.importKey('raw', utf8(secret), hmac, false, ['sign'])
  const derived = await crypto.subtle.sign('HMAC', root, utf8('galley vault 1'))
  return crypto.subtle.importKey('raw', derived, 'AES-GCM', false, ['encrypt', 'decrypt'])
}

function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text) as Uint8Array<ArrayBuffer>
}
