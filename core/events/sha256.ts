/**
 * SHA-256 (FIPS 180-4) of short texts, without waiting: Web Crypto answers by a promise, which costs more
 * than the hash when there are thousands a second, and Node's own is not there in a Worker.
 */

// Signed words throughout: those above 2^31 would be doubles to the engine, and five times as slow.
const K = new Int32Array(64)
const START = new Int32Array(8)
for (let n = 2, found = 0; found < 64; n++) {
  if (!isPrime(n)) continue
  K[found] = fraction(Math.cbrt(n))
  if (found < 8) START[found] = fraction(Math.sqrt(n))
  found++
}

function isPrime(n: number): boolean {
  for (let i = 2; i * i <= n; i++) if (n % i === 0) return false
  return true
}

function fraction(x: number): number {
  return ((x - Math.floor(x)) * 2 ** 32) | 0
}

const encoder = new TextEncoder()
const W = new Int32Array(64)
/** Most texts fit, so that hashing them leaves nothing behind. */
const SHORT_BYTES = 4_096
const short = new Uint8Array(SHORT_BYTES + 72)

/**
 * The first 128 bits over the parts, each with its length before it, in hex. The length is in UTF-16
 * units. Part of what is stored: it never changes.
 */
export function hash128(...parts: string[]): string {
  let text = ''
  for (const part of parts) text += `${part.length}:${part}`
  // A UTF-16 unit is at most three bytes.
  if (text.length * 3 > SHORT_BYTES) return hex(sha256(encoder.encode(text)), 4)
  const { written } = encoder.encodeInto(text, short)
  return hex(digest(short, written), 4)
}

/** Eight words. */
export function sha256(bytes: Uint8Array): Int32Array {
  const padded = new Uint8Array(bytes.length + 72)
  padded.set(bytes)
  return digest(padded, bytes.length)
}

/** Of the first bytes of a buffer that has room for the padding. */
function digest(buffer: Uint8Array, length: number): Int32Array {
  const end = ((length + 72) >> 6) << 6
  buffer.fill(0, length, end)
  buffer[length] = 0x80
  const view = new DataView(buffer.buffer)
  view.setUint32(end - 8, Math.floor(length / 2 ** 29))
  view.setUint32(end - 4, (length << 3) >>> 0)
  const state = START.slice()
  for (let at = 0; at < end; at += 64) block(state, view, at)
  return state
}

function block(state: Int32Array, view: DataView, at: number): void {
  for (let i = 0; i < 16; i++) W[i] = view.getInt32(at + 4 * i)
  for (let i = 16; i < 64; i++) {
    const x = W[i - 15]!
    const y = W[i - 2]!
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3)
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10)
    W[i] = (W[i - 16]! + s0 + W[i - 7]! + s1) | 0
  }
  let a = state[0]!
  let b = state[1]!
  let c = state[2]!
  let d = state[3]!
  let e = state[4]!
  let f = state[5]!
  let g = state[6]!
  let h = state[7]!
  for (let i = 0; i < 64; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7))
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K[i]! + W[i]!) | 0
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10))
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0
    h = g
    g = f
    f = e
    e = (d + t1) | 0
    d = c
    c = b
    b = a
    a = (t1 + t2) | 0
  }
  state[0]! += a
  state[1]! += b
  state[2]! += c
  state[3]! += d
  state[4]! += e
  state[5]! += f
  state[6]! += g
  state[7]! += h
}

function hex(words: Int32Array, count: number): string {
  let text = ''
  for (let i = 0; i < count; i++) text += (words[i]! >>> 0).toString(16).padStart(8, '0')
  return text
}
