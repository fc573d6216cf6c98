/** Blobs by signed requests: the suite of blobs, through a door that checks what S3 checks of them. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { S3Client } from '@aws-sdk/client-s3'
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest'
import { s3Blobs } from '#platform/blob/s3.ts'
import { joinBlobs, s3Signer } from '#platform/blob/s3-sign.ts'
import { type SignedRequest, signedBlobs } from '#platform/blob/signed.ts'
import { blobSuite } from '../../conformance/blob.ts'
import { bytesOf, sha256 } from '../../conformance/bytes.ts'
import { BLOB_ENGINES } from '../../conformance/engines.ts'
import { type Faulty, startFaulty } from '../faulty.ts'
import { clientConfig, freshBucket } from '../servers.ts'
import { refusedByS3 } from '../signature.ts'

async function openDoor(endpoint: string) {
  const door = await startFaulty(endpoint)
  const config = clientConfig(door.endpoint)
  door.spoil(asked => refusedByS3(asked, config.credentials.secretAccessKey))
  const cacheFolder = mkdtempSync(join(tmpdir(), 'galley-blobs-'))
  const client = new S3Client({ ...config, forcePathStyle: true, maxAttempts: 8 })
  const place = { client, bucket: await freshBucket(client), prefix: 'stage/' }
  const inside = s3Blobs({ ...place, cacheFolder })
  const sign = s3Signer(place)
  const outside = signedBlobs({ sign, join: pieces => joinBlobs(inside, pieces) })
  const close = async () => {
    client.destroy()
    await door.close()
    rmSync(cacheFolder, { recursive: true, force: true })
  }
  return { door, inside, outside, sign, close }
}

for (const { name, endpoint } of inject('clouds')) {
  blobSuite({
    name: `s3 by signed requests (${name})`,
    flags: BLOB_ENGINES[name],
    async fresh() {
      const { inside, outside, close } = await openDoor(endpoint)
      return { blobs: { ...inside, ...outside }, close }
    },
  })

  describe(`a signed request (${name})`, () => {
    let at: Awaited<ReturnType<typeof openDoor>>
    let door: Faulty
    const bytes = bytesOf(1_000)
    const digest = sha256(bytes)
    beforeEach(async () => {
      at = await openDoor(endpoint)
      door = at.door
    })
    afterEach(() => at.close())

    const put = async ({ url, headers }: SignedRequest, body: Uint8Array) =>
      (await fetch(url, { method: 'PUT', headers, body: body as Uint8Array<ArrayBuffer> })).status
    const written = (size = bytes.byteLength) =>
      at.sign({ do: 'write', key: 'ten/x', size, sha256: digest })

    test('writes exactly the bytes that it was signed for', async () => {
      expect(await put(await written(), bytes)).toBe(200)
      expect(await at.inside.head('ten/x')).toEqual({ key: 'ten/x', size: 1_000, sha256: digest })
    })

    test('is worth nothing for another key, method, length, checksum or metadata', async () => {
      const signed = await written()
      const { url, headers } = signed
      const { 'content-length': _, ...unmeasured } = headers
      const other = sha256(bytesOf(999))
      const attempts: [SignedRequest, Uint8Array][] = [
        [{ url: url.replace('ten/x', 'ten/y'), headers }, bytes],
        [{ url: url.replace('ten/x', 'ten/../foe/x'), headers }, bytes],
        [{ url, headers: unmeasured }, bytesOf(999)],
        [{ url, headers }, bytesOf(1_000).reverse()],
        [{ url, headers: { ...headers, 'x-amz-meta-sha256': other } }, bytes],
        [{ url: url.replace('X-Amz-Expires=300', 'X-Amz-Expires=9999'), headers }, bytes],
      ]
      for (const [request, body] of attempts) {
        expect(await put(request, body)).toBeGreaterThanOrEqual(400)
      }
      expect((await fetch(url)).status).toBe(403)
      expect((await fetch(url, { method: 'DELETE' })).status).toBe(403)
      expect(await at.inside.list('')).toEqual([])
    })

    test('ends within minutes', async () => {
      const { url, headers } = await written()
      const asked = { method: 'PUT', url, action: 'PUT', body: Buffer.from(bytes) }
      const host = new URL(url).host
      const given = { ...asked, headers: { ...headers, host } }
      const secret = clientConfig(endpoint).credentials.secretAccessKey
      expect(refusedByS3(given, secret)).toBeNull()
      expect(refusedByS3(given, secret, Date.now() + 301_000)).toMatchObject({ status: 403 })
    })

    test('is made for no key outside the form of keys', async () => {
      for (const key of ['../x', 'ten//x', '/x', 'ten/x?acl']) {
        const asked = at.sign({ do: 'write', key, size: 1, sha256: digest })
        await expect(asked).rejects.toMatchObject({ code: 'invalid_request' })
        await expect(at.sign({ do: 'read', key })).rejects.toMatchObject({
          code: 'invalid_request',
        })
      }
    })

    test('that a store does not answer is not taken for an empty blob', async () => {
      const answers = [{ status: 416 }, { status: 503, body: '<Code>SlowDown</Code>' }]
      door.spoil(({ method }) => (method === 'GET' ? answers.shift()! : null))
      const asked = at.outside.get('ten/x', { start: 5_000, end: 6_000 })
      await expect(asked).rejects.toMatchObject({ code: 'unavailable', retryable: true })
    })

    test('carries a body that is longer or shorter than declared nowhere', async () => {
      const limits = { size: 1_000, sha256: digest, sizeMax: 5_000 }
      for (const size of [999, 1_001]) {
        const body = (async function* () {
          yield bytesOf(size)
        })()
        await expect(at.outside.putPart('ten/up', 1, body, limits)).rejects.toThrow()
      }
      expect(await at.inside.listParts('ten/up')).toEqual([])
      expect(door.asked.length).toBeGreaterThan(0)
    })
  })
}
