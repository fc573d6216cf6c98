/** The part of the blob suite about uploads in parts. */
import { expect, test } from 'vitest'
import type { Blobs } from '#core/deps.ts'
import { bytesOf, collect, pieces, sha256 } from './bytes.ts'

const whole = bytesOf(300_000)
const expected = { size: whole.byteLength, sha256: sha256(whole) }
const parts = [
  whole.subarray(0, 100_000),
  whole.subarray(100_000, 299_999),
  whole.subarray(299_999),
]

export function uploadSuite(b: () => Blobs): void {
  async function putAll(uploadKey: string) {
    // The order in which parts arrive does not matter.
    for (const at of [2, 0, 1]) await b().putPart(uploadKey, at + 1, pieces(parts[at]!))
  }

  test('parts become one blob, the parts go, and completing again is no error', async () => {
    await putAll('ten/up')
    expect(await b().head('ten/x')).toBeNull()
    for (let again = 0; again < 2; again++) {
      const info = await b().completeUpload('ten/up', 'ten/x', expected)
      expect(info).toEqual({ key: 'ten/x', ...expected })
    }
    expect(await collect((await b().get('ten/x'))!.body)).toEqual(Buffer.from(whole))
    expect(await b().listParts('ten/up')).toEqual([])
    expect((await b().list('')).map(i => i.key)).toEqual(['ten/x'])
  })

  test('a part can be replaced, and the listing tells what is stored', async () => {
    await b().putPart('ten/up', 2, bytesOf(7))
    await putAll('ten/up')
    expect(await b().listParts('ten/up')).toEqual(
      parts.map((p, at) => ({ number: at + 1, size: p.byteLength, sha256: sha256(p) })),
    )
    await b().completeUpload('ten/up', 'ten/x', expected)
    expect(await b().head('ten/x')).toMatchObject(expected)
  })

  test('a part with another digest than declared is not stored, and the one before it stays', async () => {
    await b().putPart('ten/up', 1, bytesOf(7))
    const put = b().putPart('ten/up', 1, bytesOf(8), { sha256: sha256(bytesOf(7)) })
    await expect(put).rejects.toMatchObject({ code: 'digest_mismatch' })
    expect(await b().listParts('ten/up')).toMatchObject([{ number: 1, size: 7 }])
  })

  test('an upload that is not whole is refused and can be mended', async () => {
    const complete = (given = expected) => b().completeUpload('ten/up', 'ten/x', given)
    await expect(complete()).rejects.toMatchObject({ code: 'not_found' })
    await b().putPart('ten/up', 1, parts[0]!)
    await b().putPart('ten/up', 3, parts[2]!)
    await expect(complete()).rejects.toMatchObject({ code: 'conflict' })
    await b().putPart('ten/up', 2, parts[1]!.subarray(1))
    await expect(complete()).rejects.toMatchObject({ code: 'digest_mismatch' })
    await b().putPart('ten/up', 2, bytesOf(parts[1]!.byteLength))
    await expect(complete()).rejects.toMatchObject({ code: 'digest_mismatch' })
    expect(await b().head('ten/x')).toBeNull()
    expect(await b().listParts('ten/up')).toHaveLength(3)
    await b().putPart('ten/up', 2, parts[1]!)
    expect(await complete()).toMatchObject(expected)
  })

  test('two who complete at once both succeed', async () => {
    await putAll('ten/up')
    const both = [1, 2, 3].map(() => b().completeUpload('ten/up', 'ten/x', expected))
    for (const info of await Promise.all(both)) expect(info).toMatchObject(expected)
    expect(await collect((await b().get('ten/x'))!.body)).toEqual(Buffer.from(whole))
  })

  test('uploads with similar keys do not mix, and giving one up leaves the others', async () => {
    const keys = ['ten/u', 'ten/u1', 'ten/u/1', 'ten/u-1', 'u']
    for (const [at, key] of keys.entries()) await b().putPart(key, 1, bytesOf(at))
    await b().abortUpload('ten/u')
    await b().abortUpload('ten/u')
    const left = await Promise.all(keys.map(key => b().listParts(key)))
    expect(left.map(found => found.map(p => p.size))).toEqual([[], [1], [2], [3], [4]])
    expect(await b().list('')).toEqual([])
  })

  test('numbers that no part can have are refused', async () => {
    for (const number of [0, -1, 1.5, 10_001]) {
      const put = b().putPart('ten/up', number, bytesOf(1))
      await expect(put).rejects.toMatchObject({ code: 'invalid_request' })
    }
  })
}
