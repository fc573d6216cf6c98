/** A batch of requests whose runner is killed in the middle of it: another one goes on, and nothing shows. */
import { setTimeout as sleep } from 'node:timers/promises'
import OpenAI, { toFile } from 'openai'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Galley } from '#sdk/client.ts'
import { placesOf, signal } from '#tests/chaos/processes.ts'
import { textEncoder } from '#tests/text-encoder.ts'
import { wordPiece } from '#tests/word-piece.ts'
import { type Product, startProduct } from '../../../bench/product.ts'
import { product } from '../product.ts'

/** Three shards of a thousand requests each, some of them wrong. */
const REQUESTS = 3_000
const WRONG = (i: number) => i % 500 === 7
const SIZES = { layers: 2, width: 64, heads: 4, vocabulary: 512, positions: 64 }

/** One of its own: other tests are asking the other one's runner. */
let own: Product
beforeAll(async () => {
  own = await startProduct({ edge: (await product()).edge as 'node' | 'workerd' })
}, 60_000)
afterAll(() => own?.stop())

type Line = { custom_id: string; response: { status_code: number; body: Body } }
type Body = { data?: { embedding: number[] }[] }

test('a runner killed during a batch costs no request and bills none twice', async () => {
  const { url, key, supervisor } = own
  const galley = new Galley({ baseUrl: url, key })
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key })
  const files = {
    'model.onnx': textEncoder({ seed: 3, ...SIZES }),
    'tokenizer.json': Buffer.from(wordPiece()),
  }
  const embedding = { tokenizer: 'tokenizer.json', max_tokens: 64, pooling: 'mean' as const }
  await galley.publish('text', files, { embedding })
  const inputOf = (i: number) => `${'word '.repeat(1 + (i % 30))}text ${i}`
  const lines = Array.from({ length: REQUESTS }, (_, i) => {
    const body = { model: 'text', input: WRONG(i) ? 'long '.repeat(200) : inputOf(i) }
    return JSON.stringify({ custom_id: `r-${i}`, method: 'POST', url: '/v1/embeddings', body })
  })
  const file = await toFile(Buffer.from(lines.join('\n')), 'requests.jsonl')
  const { id: input_file_id } = await client.files.create({ file, purpose: 'batch' })
  const { id } = await client.batches.create({
    input_file_id,
    endpoint: '/v1/embeddings',
    completion_window: '24h',
  })

  // Once a shard is done the next is being worked on.
  const countsOf = async () => (await client.batches.retrieve(id)).request_counts!
  for (let counts = await countsOf(); ; counts = await countsOf()) {
    if (counts.completed + counts.failed > 0) break
    await sleep(20)
  }
  const [runner] = placesOf(supervisor.pid!, 'runner')
  expect(signal(runner!, 'SIGKILL')).toBe(true)

  let batch = await client.batches.retrieve(id)
  while (!['completed', 'failed', 'expired', 'cancelled'].includes(batch.status)) {
    await sleep(100)
    batch = await client.batches.retrieve(id)
  }
  const wrong = lines.filter((_, i) => WRONG(i)).length
  expect(batch).toMatchObject({
    status: 'completed',
    request_counts: { total: REQUESTS, completed: REQUESTS - wrong, failed: wrong },
  })
  const read = async (file: string) =>
    (await (await client.files.content(file)).text())
      .split('\n')
      .filter(Boolean)
      .map(text => JSON.parse(text) as Line)
  const answered = await read(batch.output_file_id!)
  const ids = Array.from({ length: REQUESTS }, (_, i) => i)
  expect(answered.map(line => line.custom_id)).toEqual(
    ids.filter(i => !WRONG(i)).map(i => `r-${i}`),
  )
  expect((await read(batch.error_file_id!)).map(line => line.custom_id)).toEqual(
    ids.filter(WRONG).map(i => `r-${i}`),
  )
  // Of a request from each shard: it is that request's own answer.
  for (const i of [0, 1_500, 2_999]) {
    const online = await client.embeddings.create({
      model: 'text',
      input: inputOf(i),
      encoding_format: 'float',
    })
    const { body } = answered.find(line => line.custom_id === `r-${i}`)!.response
    const [ours, theirs] = [body.data![0]!.embedding, online.data[0]!.embedding]
    expect(Math.max(...ours.map((value, at) => Math.abs(value - theirs[at]!)))).toBeLessThan(1e-4)
  }

  const usage = await fetch(`${url}/v1/usage?group_by=job`, {
    headers: { authorization: `Bearer ${key}` },
  })
  const { data } = (await usage.json()) as { data: { group: { job: string } }[] }
  const billed = data.find(each => each.group.job === id)
  expect(billed).toMatchObject({ receipts: 3, rows: REQUESTS - wrong })
}, 180_000)
