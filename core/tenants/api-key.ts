/**
 * API keys as text: `gly_live_<public id>_<secret>_<crc32>`. The checksum rejects typing errors and
 * guesses before any look-up; the public part may be shown and is what look-ups go by; only the
 * SHA-256 of the whole is stored. 32 base-62 characters carry 190 bits, so a slow hash adds nothing.
 */
import { sha256Hex } from '#core/internal/signing.ts'

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const PUBLIC_CHARS = 12
const SECRET_CHARS = 32
const CHECK_CHARS = 6
const FORM = /^(gly_(?:live|test)_([0-9A-Za-z]{12})_[0-9A-Za-z]{32})_([0-9A-Za-z]{6})$/

export type MintedKey = { key: string; publicId: string; hash: string }

export async function mint(mode: 'live' | 'test' = 'live'): Promise<MintedKey> {
  const publicId = randomText(PUBLIC_CHARS)
  const body = `gly_${mode}_${publicId}_${randomText(SECRET_CHARS)}`
  const key = `${body}_${checksum(body)}`
  return { key, publicId, hash: await sha256Hex(key) }
}

/** The public id of a well-formed key; null for anything else, typing errors included. */
export function publicIdOf(key: string): string | null {
  const match = FORM.exec(key)
  if (!match || checksum(match[1]!) !== match[3]) return null
  return match[2]!
}

function randomText(chars: number): string {
  let text = ''
  while (text.length < chars) {
    for (const byte of crypto.getRandomValues(new Uint8Array(chars * 2))) {
      // 248 is the largest multiple of 62 in a byte: above it the remainder would favour some characters.
      if (byte < 248 && text.length < chars) text += ALPHABET[byte % 62]
    }
  }
  return text
}

function checksum(text: string): string {
  let rest = crc32(text)
  let out = ''
  for (let i = 0; i < CHECK_CHARS; i++) {
    out = ALPHABET[rest % 62] + out
    rest = Math.floor(rest / 62)
  }
  return out
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n
  for (let bit = 0; bit < 8; bit++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1
  return c >>> 0
})

/** CRC-32 of ISO 3309, over the characters' code units (keys are ASCII). */
function crc32(text: string): number {
  let crc = 0xffffffff
  for (let i = 0; i < text.length; i++) {
    crc = CRC_TABLE[(crc ^ text.charCodeAt(i)) & 255]! ^ (crc >>> 8)
  }
  return (crc ^ 0xffffffff) >>> 0
}
