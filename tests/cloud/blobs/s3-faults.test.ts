/** What only S3 in the cloud does: forbids, throttles, breaks off, and keeps what nobody finished. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ListMultipartUploadsCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3'
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest'
import type { Blobs } from '#core/deps.ts'
import type { AppError } from '#core/error.ts'
import { s3Blobs } from '#platform/blob/s3.ts'
import { writerTag } from '#platform/blob/writer.ts'
import { bytesOf, collect, pieces, sha256 } from '../../conformance/bytes.ts'
import { type Asked, type Faulty, first, startFaulty } from '../faulty.ts'
import { clientConfig, freshBucket } from '../servers.ts'

const LARGE = 20_000_000
const ALWAYS = Number.POSITIVE_INFINITY
const isPart = ({ url }: Asked) => url.includes('partNumber=')

for (const { name, endpoint } of inject('clouds')) {
  describe(`s3 (${name}) in trouble`, () => {
    let faulty: Faulty
    let client: S3Client
    let bucket: string
    let blobs: Blobs
    let cacheFolder: string

    beforeEach(async () => {
      faulty = await startFaulty(endpoint)
      const config = { ...clientConfig(faulty.endpoint), forcePathStyle: true, maxAttempts: 3 }
      client = new S3Client(config)
      bucket = await freshBucket(client)
      cacheFolder = mkdtempSync(join(tmpdir(), 'galley-blobs-'))
      blobs = s3Blobs({ client, bucket, cacheFolder, cacheBytesMax: 1_000 })
      faulty.asked.length = 0
    })
    afterEach(async () => {
      client.destroy()
      await faulty.close()
      rmSync(cacheFolder, { recursive: true, force: true })
    })

    async function unfinished(): Promise<{ uploads: number; keys: string[] }> {
      faulty.spoil(() => null)
      const uploads = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }))
      const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: bucket }))
      return { uploads: uploads.Uploads?.length ?? 0, keys: Contents.map(({ Key }) => Key!) }
    }

    test('what is forbidden is never taken for what is not there, and names the permissions', async () => {
      await blobs.put('ten/x', bytesOf(10))
      const asks = {
        HEAD: () => blobs.head('ten/x'),
        GET: () => blobs.get('ten/x'),
        PUT: () => blobs.put('ten/x', bytesOf(10)),
        DELETE: () => blobs.delete('ten/x'),
      }
      for (const [action, ask] of Object.entries(asks)) {
        faulty.spoil(first(ALWAYS, action, xml('AccessDenied', 403)))
        const told: AppError = await (ask() as Promise<never>).catch(error => error)
        expect(told, action).toMatchObject({ code: 'internal', retryable: false })
        expect(told.message).toContain('the role needs s3:GetObject')
      }
    })

    test('a bucket that is not there is not an empty one', async () => {
      const nowhere = s3Blobs({ client, bucket: `${bucket}-gone`, cacheFolder })
      for (const ask of [() => nowhere.get('ten/x'), () => nowhere.list('')]) {
        await expect(ask()).rejects.toThrow('S3 has no such bucket')
      }
      await expect(nowhere.put('ten/x', bytesOf(1))).rejects.toThrow('S3 has no such bucket')
    })

    test('what was throttled, or lost on its way, is asked again', async () => {
      faulty.spoil(first(2, 'PUT', xml('SlowDown', 503)))
      await blobs.put('ten/x', bytesOf(10))
      faulty.spoil(first(2, 'GET', 'drop'))
      expect(await collect((await blobs.get('ten/x'))!.body)).toEqual(Buffer.from(bytesOf(10)))
      faulty.spoil(first(ALWAYS, 'GET', xml('SlowDown', 503)))
      const told = blobs.get('ten/x')
      await expect(told).rejects.toMatchObject({ code: 'unavailable', retryable: true })
    })

    test('one part that is lost goes again, alone', async () => {
      let lost = 0
      faulty.spoil(asked => (isPart(asked) && lost++ === 1 ? 'lose' : null))
      const bytes = bytesOf(LARGE)
      const digest = sha256(bytes)
      await blobs.put('ten/x', pieces(bytes), { sha256: digest })
      expect(faulty.asked.filter(isPart)).toHaveLength(4)
      expect(await blobs.head('ten/x')).toMatchObject({ size: LARGE, sha256: digest })
      expect(await unfinished()).toEqual({ uploads: 0, keys: ['blobs/ten/x'] })
    })

    test('a large blob that fails leaves no parts behind that are paid for', async () => {
      for (const declared of [sha256(bytesOf(LARGE)), undefined]) {
        let parts = 0
        faulty.spoil(asked => (isPart(asked) && ++parts > 1 ? xml('AccessDenied', 403) : null))
        const put = blobs.put('ten/x', pieces(bytesOf(LARGE)), { sha256: declared })
        await expect(put).rejects.toMatchObject({ code: 'internal' })
        expect(await unfinished()).toEqual({ uploads: 0, keys: [] })
      }
    })

    test('a copy that a killed process was loading is removed when room is made', async () => {
      // No process has this number: it is above what Linux gives out.
      const tag = writerTag().replace(/-\d+-$/, '-4999999-')
      writeFileSync(join(cacheFolder, `${'0'.repeat(64)}~${tag}half`), 'half')
      await blobs.put('ten/x', bytesOf(10))
      const path = await blobs.localFile('ten/x')
      expect(readdirSync(cacheFolder).map(each => join(cacheFolder, each))).toEqual([path])
    })
  })
}

function xml(code: string, status: number) {
  const headers = { 'content-type': 'application/xml' }
  return {
    status,
    headers,
    body: `<Error><Code>${code}</Code><Message>told by the test</Message></Error>`,
  }
}
