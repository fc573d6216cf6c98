/** Bytes for the blob tests: the same for the same size, different for every size. */
import { createHash } from 'node:crypto'

export function bytesOf(size: number): Uint8Array {
  const bytes = Buffer.alloc(size, `${size} bytes of a test. `)
  return new Uint8Array(bytes.buffer, bytes.byteOffset, size)
}

export async function* pieces(bytes: Uint8Array, step = 70_001) {
  for (let at = 0; at < bytes.byteLength; at += step) yield bytes.subarray(at, at + step)
}

export async function collect(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const found: Uint8Array[] = []
  for await (const piece of body) found.push(piece)
  return Buffer.concat(found)
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
