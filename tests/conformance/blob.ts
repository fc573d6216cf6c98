/** What every blob store promises, whatever engine is below. */
import { readFile } from 'node:fs/promises'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Blobs } from '#core/deps.ts'
import { uploadSuite } from './blob-upload.ts'
import { bytesOf, collect, pieces, sha256 } from './bytes.ts'
import type { BlobFlags } from './engines.ts'

export type BlobDriver = {
  name: string
  flags: BlobFlags
  /** A store with nothing in it. */
  fresh(): Promise<{ blobs: Blobs; close(): Promise<void> }>
}

export function blobSuite(driver: BlobDriver): void {
  describe(`blobs on ${driver.name}`, () => {
    let blobs: Blobs
    let close: () => Promise<void>
    beforeEach(async () => {
      const opened = await driver.fresh()
      blobs = opened.blobs
      close = opened.close
    })
    afterEach(() => close())

    storing(() => blobs, driver.flags)
    describe('refuses', () => refusals(() => blobs))
    listing(() => blobs)
    uploadSuite(() => blobs)
  })
}

function storing(b: () => Blobs, flags: BlobFlags): void {
  test('bytes of any size come back as they were, with size and digest', async () => {
    for (const size of [0, 1, 65_537, 3_000_000, 20_000_000]) {
      const bytes = bytesOf(size)
      const info = { key: `ten/b-${size}`, size, sha256: sha256(bytes) }
      const limits = { sha256: info.sha256, sizeMax: size }
      expect(await b().put(info.key, size % 2 ? bytes : pieces(bytes), limits)).toEqual(info)
      expect(await b().head(info.key)).toEqual(info)
      const found = await b().get(info.key)
      expect(found?.info).toEqual(info)
      expect(sha256(await collect(found!.body))).toBe(info.sha256)
    }
  })

  test('a large body whose digest nobody declared is stored with its digest', async () => {
    const bytes = bytesOf(9_000_000)
    expect(await b().put('ten/x', pieces(bytes))).toMatchObject({ sha256: sha256(bytes) })
    expect(await b().head('ten/x')).toMatchObject({ size: 9_000_000, sha256: sha256(bytes) })
  })

  test('any range is the slice of the bytes, cut at the end', async () => {
    const bytes = bytesOf(1_000)
    await b().put('ten/x', bytes)
    const at = fc.integer({ min: 0, max: 1_100 })
    const property = fc.asyncProperty(at, at, async (x, y) => {
      const range = { start: Math.min(x, y), end: Math.max(x, y) }
      const found = await b().get('ten/x', range)
      expect(found?.info.size).toBe(1_000)
      const slice = bytes.subarray(range.start, range.end)
      expect(await collect(found!.body)).toEqual(Buffer.from(slice))
    })
    await fc.assert(property, {
      numRuns: 30,
      examples: [
        [0, 0],
        [1_000, 1_000],
        [1_050, 1_100],
      ],
    })
  })

  test('a reader may leave early', async () => {
    await b().put('ten/x', bytesOf(3_000_000))
    for (let i = 0; i < 20; i++) {
      for await (const piece of (await b().get('ten/x'))!.body) {
        expect(piece.byteLength).toBeGreaterThan(0)
        break
      }
    }
    expect((await collect((await b().get('ten/x'))!.body)).byteLength).toBe(3_000_000)
  })

  test('what is not there is null, and deleting it is no error', async () => {
    expect(await b().head('ten/none')).toBeNull()
    expect(await b().get('ten/none')).toBeNull()
    expect(await b().get('ten/none', { start: 0, end: 0 })).toBeNull()
    await expect(b().localFile('ten/none')).rejects.toMatchObject({ code: 'not_found' })
    await b().put('ten/x', bytesOf(5))
    await b().delete('ten/x')
    await b().delete('ten/x')
    expect(await b().head('ten/x')).toBeNull()
  })

  test.runIf(flags.replacesWhole)(
    'a replaced blob is seen whole, the old or the new one',
    async () => {
      const writer = async () => {
        for (let n = 1; n <= 15; n++) await b().put('ten/x', bytesOf(50_000 + n))
      }
      await b().put('ten/x', bytesOf(50_000))
      let writing = true
      const written = writer().finally(() => {
        writing = false
      })
      while (writing) {
        const found = await b().get('ten/x')
        const bytes = await collect(found!.body)
        expect({ size: bytes.byteLength, sha256: sha256(bytes) }).toEqual({
          size: found!.info.size,
          sha256: found!.info.sha256,
        })
      }
      await written
      expect((await b().head('ten/x'))?.size).toBe(50_015)
    },
  )

  test.runIf(flags.takesWritersAtOnce)(
    'who writes the same bytes under one key at once is told the same, and they are there',
    async () => {
      for (const size of [50_000, 9_000_000]) {
        const bytes = bytesOf(size)
        const info = { key: `ten/same-${size}`, size, sha256: sha256(bytes) }
        const put = () => b().put(info.key, pieces(bytes), { sha256: info.sha256 })
        expect(await Promise.all([put(), put(), put()])).toEqual([info, info, info])
        const found = await b().get(info.key)
        expect(sha256(await collect(found!.body))).toBe(info.sha256)
      }
    },
  )

  test('a local file holds the bytes, again after the blob was replaced', async () => {
    for (const size of [100_000, 100_001]) {
      await b().put('ten/x', bytesOf(size))
      const paths = await Promise.all([b().localFile('ten/x'), b().localFile('ten/x')])
      for (const path of paths) expect(sha256(await readFile(path))).toBe(sha256(bytesOf(size)))
    }
  })
}

function refusals(b: () => Blobs): void {
  const old = bytesOf(10)
  const stays = async () => {
    expect(await b().head('ten/old')).toMatchObject({ size: 10, sha256: sha256(old) })
    expect(await b().head('ten/new')).toBeNull()
    expect((await b().list('ten/')).map(i => i.key)).toEqual(['ten/old'])
  }
  beforeEach(async () => {
    await b().put('ten/old', old)
  })

  // Below and above the size from which a driver stores in several calls.
  const sizes = [1_000, 9_000_000]
  test('bytes with another digest than declared store nothing', async () => {
    for (const key of ['ten/old', 'ten/new']) {
      for (const size of sizes) {
        const put = b().put(key, pieces(bytesOf(size)), { sha256: sha256(bytesOf(1)) })
        await expect(put).rejects.toMatchObject({ code: 'digest_mismatch' })
      }
    }
    await stays()
  })

  test('more bytes than allowed store nothing', async () => {
    for (const key of ['ten/old', 'ten/new']) {
      for (const size of sizes) {
        const put = b().put(key, pieces(bytesOf(size)), { sizeMax: size - 1 })
        await expect(put).rejects.toMatchObject({ code: 'payload_too_large' })
      }
    }
    await stays()
  })

  test('a body that breaks off stores nothing, and the reason is told', async () => {
    for (const key of ['ten/old', 'ten/new']) {
      for (const size of sizes) {
        const put = b().put(key, breakingOff(size))
        await expect(put).rejects.toThrow('the sender went away')
      }
    }
    await stays()
  })

  test('keys that could leave their place are refused everywhere', async () => {
    const bad = [
      '',
      '/a',
      'a/',
      'a//b',
      '..',
      'a/../b',
      '.',
      'a/./b',
      'a~',
      'a b',
      'ä',
      'a\\b',
      'a%2fb',
    ]
    for (const key of [...bad, 'x'.repeat(181), Array(300).fill('xx').join('/')]) {
      const refused = { code: 'invalid_request' }
      await expect(b().put(key, old), key).rejects.toMatchObject(refused)
      await expect(b().putPart(key, 1, old), key).rejects.toMatchObject(refused)
    }
    await stays()
  })
}

function listing(b: () => Blobs): void {
  test('a key and a longer one below it live side by side', async () => {
    await b().put('ten/a', bytesOf(1))
    await b().put('ten/a/b', bytesOf(2))
    await b().delete('ten/a')
    expect((await b().list('')).map(i => [i.key, i.size])).toEqual([['ten/a/b', 2]])
  })

  test('any listing is the sorted keys with the prefix, after one, so many', async () => {
    const keys = ['t/a', 't/a-b', 't/a.b', 't/a/b', 't/a/b/c', 't/a0', 't/b', 'u', 'u/a', 'u-a/b']
    for (const key of keys) await b().put(key, bytesOf(key.length))
    const sorted = [...keys].sort()
    const prefix = fc.constantFrom('', 't', 't/', 't/a', 't/a/', 't/a/b', 'u', 'u-a/', 'none')
    const after = fc.option(fc.constantFrom(...keys, 't/', 't/a/zzz', 'zzz'), { nil: undefined })
    const max = fc.option(fc.integer({ min: 1, max: 12 }), { nil: undefined })
    const property = fc.asyncProperty(prefix, after, max, async (given, from, count) => {
      const found = await b().list(given, { after: from, max: count })
      const expected = sorted.filter(key => key.startsWith(given) && key > (from ?? ''))
      expect(found.map(i => i.key)).toEqual(expected.slice(0, count))
      expect(found.every(i => i.size === i.key.length)).toBe(true)
    })
    await fc.assert(property, { numRuns: 40 })
  })
}

async function* breakingOff(size: number) {
  yield bytesOf(size)
  throw new Error('the sender went away')
}
