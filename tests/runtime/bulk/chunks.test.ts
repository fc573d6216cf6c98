/** A file that is read no further is closed: a runner that gives up work keeps no stream of it. */
import { expect, test } from 'vitest'
import { planBatch } from '#gpu-runners/batches/plan.ts'
import { withChunks } from '#gpu-runners/bulk/parts.ts'

/** As drivers give a blob's body: what must be closed is closed when nobody reads on. */
function file(chunks: string[], beforeChunk = (_at: number) => {}) {
  const is = { closed: false }
  async function* body(): AsyncGenerator<Uint8Array> {
    try {
      for (const [at, chunk] of chunks.entries()) {
        beforeChunk(at)
        yield Buffer.from(chunk)
      }
    } finally {
      is.closed = true
    }
  }
  const info = { key: 'batch', size: chunks.join('').length, sha256: '' }
  return { is, blobs: { get: async () => ({ info, body: body() }) } }
}

test('a batch whose check is given up midway leaves nothing open', async () => {
  const gone = new AbortController()
  const lines = ['{"custom_id":"1"}\n', '{"custom_id":"2"}\n', '{"custom_id":"3"}\n', '\n']
  const { is, blobs } = file(lines, at => {
    if (at === 1) gone.abort(new Error('the lease is lost'))
  })
  const given = { key: 'batch', endpoint: '/v1/embeddings' }
  await expect(planBatch(blobs, given, gone.signal)).rejects.toThrow('the lease is lost')
  expect(is.closed).toBe(true)
})

test('nor does work that fails, and what is read to its end is read whole', async () => {
  const { signal } = new AbortController()
  const failing = file(['1', '2', '3'])
  const { body } = await failing.blobs.get()
  const fails = withChunks(body, signal, async read => {
    await read()
    throw new Error('no such model')
  })
  await expect(fails).rejects.toThrow('no such model')
  expect(failing.is.closed).toBe(true)

  const whole = file(['1', '2', '3'])
  const read: string[] = []
  await withChunks((await whole.blobs.get()).body, signal, async next => {
    for (let chunk = await next(); chunk; chunk = await next()) read.push(String(chunk))
  })
  expect(read).toEqual(['1', '2', '3'])
  expect(whole.is.closed).toBe(true)
})
