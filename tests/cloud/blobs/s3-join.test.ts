/** Parts that S3 joins by itself: read once to be verified, never sent again, and whole or not there at any time. */
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ListMultipartUploadsCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest'
import type { Blobs } from '#core/deps.ts'
import { s3Blobs } from '#platform/blob/s3.ts'
import { bytesOf, collect, sha256 } from '../../conformance/bytes.ts'
import { type Asked, type Faulty, startFaulty } from '../faulty.ts'
import { clientConfig, freshBucket } from '../servers.ts'

const MIB = 1024 ** 2
/** No file is asked for, so that it is never made. */
const cacheFolder = join(tmpdir(), 'galley-none')
const isCopy = ({ headers }: Asked) => headers['x-amz-copy-source'] !== undefined
const isSent = (asked: Asked) => asked.url.includes('partNumber=') && !isCopy(asked)

for (const { name, endpoint } of inject('clouds')) {
  describe(`s3 (${name}) joins`, () => {
    let faulty: Faulty
    let client: S3Client
    let bucket: string
    let blobs: Blobs

    beforeEach(async () => {
      faulty = await startFaulty(endpoint)
      client = clientWith(8)
      bucket = await freshBucket(client)
      blobs = s3Blobs({ client, bucket, cacheFolder })
    })
    afterEach(async () => {
      client.destroy()
      await faulty.close()
    })
    function clientWith(maxAttempts: number): S3Client {
      return new S3Client({ ...clientConfig(faulty.endpoint), forcePathStyle: true, maxAttempts })
    }

    /** Stores the parts, and says what they are together. */
    async function putAll(sizes: number[]) {
      const whole = bytesOf(sizes.reduce((sum, size) => sum + size, 0))
      let start = 0
      for (const [at, size] of sizes.entries()) {
        const part = whole.subarray(start, start + size)
        await blobs.putPart('ten/up', at + 1, part, { sha256: sha256(part) })
        start += size
      }
      faulty.asked.length = 0
      return { whole, expected: { size: whole.byteLength, sha256: sha256(whole) } }
    }
    async function keys() {
      const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: bucket }))
      return Contents.map(({ Key }) => Key!)
    }
    async function holds(whole: Uint8Array): Promise<boolean> {
      const found = await blobs.get('ten/x')
      return sha256(await collect(found!.body)) === sha256(whole)
    }

    test('parts large enough are copied by S3, bound to the bytes that were verified', async () => {
      const { whole, expected } = await putAll([8 * MIB, 6 * MIB, 5 * MIB, 1_000])
      await blobs.completeUpload('ten/up', 'ten/x', expected)
      const copies = faulty.asked.filter(isCopy)
      expect(copies).toHaveLength(4)
      for (const { headers, body } of copies) {
        expect(headers['x-amz-copy-source-if-match']).toMatch(/^"?[0-9a-f]{32}(-\d+)?"?$/)
        expect(body.byteLength).toBe(0)
      }
      expect(faulty.asked.filter(isSent)).toEqual([])
      const completed = faulty.asked.find(({ body }) => body.includes('CompleteMultipartUpload'))!
      expect(completed.body.toString().match(/<ChecksumSHA256>/g)).toHaveLength(4)
      expect(await holds(whole)).toBe(true)
      expect(await keys()).toEqual(['blobs/ten/x'])
    })

    test('parts of any sizes become the same blob', async () => {
      const sizes = fc.array(
        // fauxqs takes no bodies of more than 10 MiB, and what is too small goes together with what follows.
        fc.oneof(fc.constantFrom(0, 1, 5 * MIB - 1, 5 * MIB), fc.nat(4 * MIB)),
        { minLength: 1, maxLength: 6 },
      )
      await fc.assert(
        fc.asyncProperty(sizes, async given => {
          await blobs.abortUpload('ten/up')
          const { whole, expected } = await putAll(given)
          expect(await blobs.completeUpload('ten/up', 'ten/x', expected)).toMatchObject(expected)
          expect(await holds(whole)).toBe(true)
          expect(await keys()).toEqual(['blobs/ten/x'])
        }),
        { numRuns: 12 },
      )
    })

    test('killed again and again, each time a request later, it is whole or not there, and completed in the end', async () => {
      const sizes = [5 * MIB, 1 * MIB, 5 * MIB, 7]
      const { whole, expected } = await putAll(sizes)
      const once = clientWith(1)
      const dying = s3Blobs({ client: once, bucket, cacheFolder })
      let isThere = false
      for (let alive = 0, isDone = false; !isDone; alive++) {
        let asked = 0
        faulty.spoil(() => (asked++ < alive ? null : 'drop'))
        const outcome = await dying.completeUpload('ten/up', 'ten/x', expected).catch(() => null)
        faulty.spoil(() => null)
        isDone = outcome !== null
        const there = await blobs.head('ten/x')
        if (there) expect(there).toMatchObject(expected)
        else expect((await blobs.listParts('ten/up')).map(({ size }) => size)).toEqual(sizes)
        // From then on it dies while it removes the parts.
        if (there && !isThere) alive = -1
        isThere = there !== null
      }
      once.destroy()
      expect(await holds(whole)).toBe(true)
      expect(await keys()).toEqual(['blobs/ten/x'])
    })

    test('of a wrong digest nothing stays but the parts', async () => {
      const { expected } = await putAll([6 * MIB, 6 * MIB])
      const wrong = { ...expected, sha256: sha256(bytesOf(1)) }
      const completed = blobs.completeUpload('ten/up', 'ten/x', wrong)
      await expect(completed).rejects.toMatchObject({ code: 'digest_mismatch', retryable: false })
      expect(await keys()).toEqual(['uploads/ten/up=00001', 'uploads/ten/up=00002'])
      const left = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }))
      expect(left.Uploads ?? []).toEqual([])
    })

    test('a part that is replaced or removed after it was read is not joined', async () => {
      for (const [status, code] of [
        [412, 'PreconditionFailed'],
        [404, 'NoSuchKey'],
      ] as const) {
        const { expected } = await putAll([6 * MIB, 6 * MIB])
        const body = `<Error><Code>${code}</Code><Message>told by the test</Message></Error>`
        const headers = { 'content-type': 'application/xml' }
        faulty.spoil(asked => (isCopy(asked) ? { status, headers, body } : null))
        const completed = blobs.completeUpload('ten/up', 'ten/x', expected)
        await expect(completed).rejects.toMatchObject({ code: 'conflict', retryable: true })
        faulty.spoil(() => null)
        expect(await blobs.head('ten/x')).toBeNull()
      }
    })
  })
}
