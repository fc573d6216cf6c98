/** Forms with files, as clients send them: read to the byte however they arrive, and refused in words. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { boundaryOf, formParts, textOf } from '#edge/multipart.ts'

type Sent = { name: string; filename: string | null; body: Uint8Array }

const plain = fc.stringMatching(/^[a-z_[\]]{1,12}$/)
/** Bytes in which line ends, dashes and pieces of the delimiter are likely. */
const bytes = fc
  .array(
    fc.oneof(
      fc.constantFrom('\r\n', '--', '\r\n--', '\r\n--bound', '\r', '\n', '-', 'bound'),
      fc.string({ maxLength: 5 }),
    ),
    { maxLength: 30 },
  )
  .map(parts => Buffer.from(parts.join('').replaceAll('\r\n--boundary', '')))
const part: fc.Arbitrary<Sent> = fc.record({
  name: plain,
  filename: fc.option(fc.stringMatching(/^[a-zäß .]{0,12}$/), { nil: null }),
  body: bytes,
})

function written(parts: Sent[]): Buffer {
  const pieces = parts.flatMap(({ name, filename, body }) => {
    const file = filename === null ? '' : `; filename="${filename}"\r\nContent-Type: text/plain`
    const head = `--boundary\r\nContent-Disposition: form-data; name="${name}"${file}\r\n\r\n`
    return [Buffer.from(head), body, Buffer.from('\r\n')]
  })
  return Buffer.concat([...pieces, Buffer.from('--boundary--\r\n')])
}

async function* cut(whole: Uint8Array, sizes: number[]): AsyncGenerator<Uint8Array> {
  for (let at = 0, i = 0; at < whole.length; i++) {
    const size = sizes.length > 0 ? sizes[i % sizes.length]! : whole.length
    yield whole.subarray(at, at + size)
    at += size
  }
}

async function read(source: AsyncIterable<Uint8Array>): Promise<Sent[]> {
  const found: Sent[] = []
  for await (const { name, filename, body } of formParts(source, 'boundary')) {
    const pieces: Uint8Array[] = []
    for await (const piece of body) pieces.push(piece)
    found.push({ name, filename, body: Buffer.concat(pieces) })
  }
  return found
}

test('parts come out as they were sent, wherever the network cuts them', async () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 6 })
  await fc.assert(
    fc.asyncProperty(fc.array(part, { minLength: 1, maxLength: 5 }), sizes, async (parts, at) => {
      const found = await read(cut(written(parts), at))
      expect(found.map(each => [each.name, each.filename])).toEqual(
        parts.map(each => [each.name, each.filename]),
      )
      found.forEach((each, i) => {
        expect(Buffer.compare(each.body, parts[i]!.body)).toBe(0)
      })
    }),
  )
})

test('what the platform’s own FormData writes is read', async () => {
  const form = new FormData()
  form.set('purpose', 'batch')
  form.set('file', new Blob(['{"a":1}\n']), 'größer "als".jsonl')
  const request = new Request('http://x', { method: 'POST', body: form })
  const boundary = boundaryOf(request.headers.get('content-type')!)
  const names: unknown[] = []
  for await (const each of formParts(request.body as AsyncIterable<Uint8Array>, boundary)) {
    names.push([each.name, each.filename, await textOf(each, 100)])
  }
  expect(names).toEqual([
    ['purpose', null, 'batch'],
    ['file', expect.stringContaining('größer'), '{"a":1}\n'],
  ])
})

test.each([
  [
    'cut off',
    written([{ name: 'a', filename: null, body: Buffer.from('abc') }]).subarray(0, 60),
    /ends before/,
  ],
  ['without a delimiter', Buffer.from('abc'), /ends before/],
  ['a head without an end', Buffer.from(`--boundary\r\n${'x'.repeat(20_000)}`), /longer than 8192/],
  ['a part without a name', Buffer.from('--boundary\r\nX: y\r\n\r\na\r\n--boundary--'), /no name/],
  ['a delimiter that goes on', Buffer.from('--boundaryX\r\n'), /delimiter/],
])('a form that is %s is refused in words', async (_, body, words) => {
  await expect(read(cut(body, [7]))).rejects.toMatchObject({
    code: 'invalid_request',
    public: expect.stringMatching(words),
  })
})

test.each([undefined, 'application/json', 'multipart/form-data', 'multipart/form-data; x=y'])(
  'a body of type %s is no form',
  type => {
    expect(() => boundaryOf(type)).toThrow(
      expect.objectContaining({ code: 'unsupported_media_type' }),
    )
  },
)
