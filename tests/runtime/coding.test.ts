/** Bodies that are packed: what comes out is what went in, and a small one that unpacks to a huge one is refused. */
import { deflateRawSync, deflateSync, gunzipSync, gzipSync, inflateSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AppError } from '#core/error.ts'
import { CODINGS, codingAskedBy, codingOf, decode, encode } from '#edge/coding.ts'

const PACK = { gzip: gzipSync, deflate: deflateSync }
const UNPACK = { gzip: gunzipSync, deflate: inflateSync }

describe.each(CODINGS)('%s', coding => {
  test('is read as zlib writes it, and written as zlib reads it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 100_000 }), async bytes => {
        expect(Buffer.from(await decode(PACK[coding](bytes), coding, 100_000))).toEqual(
          Buffer.from(bytes),
        )
        expect(UNPACK[coding](await encode(bytes, coding))).toEqual(Buffer.from(bytes))
      }),
      { numRuns: 50 },
    )
  })

  test('a body that unpacks to more than is taken is refused, however small it is', async () => {
    const bomb = PACK[coding](Buffer.alloc(64 * 2 ** 20))
    expect(bomb.length).toBeLessThan(100_000)
    await expect(decode(bomb, coding, 2 ** 20)).rejects.toMatchObject({ code: 'payload_too_large' })
    const exact = PACK[coding](Buffer.alloc(2 ** 20))
    expect((await decode(exact, coding, 2 ** 20)).length).toBe(2 ** 20)
  })

  test('a body that is something else, or that is cut short, is refused by name', async () => {
    const whole = PACK[coding](Buffer.from('x'.repeat(10_000)))
    const broken = [
      Buffer.from('{"inputs":[]}'),
      Buffer.alloc(0),
      whole.subarray(0, -5),
      deflateRawSync('raw'),
    ]
    for (const body of broken) {
      const refusal = decode(body, coding, 2 ** 20)
      await expect(refusal).rejects.toMatchObject({ code: 'invalid_request' })
      await expect(refusal).rejects.toSatisfy(error => (error as AppError).public.includes(coding))
    }
  })
})

test('what is not taken is named, in any case; identity is nothing', () => {
  expect([undefined, '', 'identity', 'GZIP', ' deflate '].map(codingOf)).toEqual([
    null,
    null,
    null,
    'gzip',
    'deflate',
  ])
  for (const other of ['br', 'gzip, gzip', 'zstd', 'x']) {
    expect(() => codingOf(other)).toThrow(AppError)
  }
})

test('a reply is packed for who asks for one coding, not for who can read several', () => {
  const asked = ['gzip', 'Deflate', 'gzip;q=0.5', 'gzip; q=1']
  expect(asked.map(codingAskedBy)).toEqual(['gzip', 'deflate', 'gzip', 'gzip'])
  const others = [undefined, '', 'gzip, deflate', 'gzip;q=0', 'deflate;q=0.000', 'br', '*', 'gzipx']
  expect(others.map(codingAskedBy)).toEqual(others.map(() => null))
})
