/** OpenAI's own client for Node, unmodified: files, and batches of requests from them. */
import { setTimeout as sleep } from 'node:timers/promises'
import type OpenAI from 'openai'
import { APIError, toFile } from 'openai'
import type { Batch } from 'openai/resources/batches'
import { mustEqual } from '../scene.ts'
import type { Tally } from '../tally.ts'

const ENDED = ['completed', 'failed', 'expired', 'cancelled']
const REQUESTS = 300
const ENDPOINT = '/v1/embeddings'

type Line = {
  custom_id: string
  response: {
    status_code: number
    body: { data?: { embedding: number[] }[]; error?: { message: string; param: string } }
  }
  error: null
}

export async function batchesByOpenai(client: OpenAI, tally: Tally, model: string): Promise<void> {
  const file = await files(client, tally, model)
  await whole(client, tally, model, file)
  await refused(client, tally, model)
  await stopped(client, tally, model)
}

function request(custom_id: string, body: object, more: object = {}): string {
  return JSON.stringify({ custom_id, method: 'POST', url: ENDPOINT, body, ...more })
}

async function uploaded(client: OpenAI, lines: string[]): Promise<string> {
  const file = await toFile(Buffer.from(`${lines.join('\n')}\n`), 'requests.jsonl')
  return (await client.files.create({ file, purpose: 'batch' })).id
}

async function begun(client: OpenAI, input_file_id: string): Promise<Batch> {
  return client.batches.create({ input_file_id, endpoint: ENDPOINT, completion_window: '24h' })
}

async function ended(client: OpenAI, { id }: { id: string }): Promise<Batch> {
  for (;;) {
    const batch = await client.batches.retrieve(id)
    if (ENDED.includes(batch.status)) return batch
    await sleep(100)
  }
}

async function linesOf(client: OpenAI, file: string | undefined): Promise<Line[]> {
  const text = file ? await (await client.files.content(file)).text() : ''
  return text
    .split('\n')
    .filter(Boolean)
    .map(line => JSON.parse(line) as Line)
}

async function files(client: OpenAI, tally: Tally, model: string): Promise<string> {
  const texts = (i: number) =>
    i % 7 === 3 ? ['a model', 'the runner'] : `${'word '.repeat(i % 20)}text ${i}`
  const lines = Array.from({ length: REQUESTS }, (_, i) =>
    request(`request-${i}`, { model, input: i % 50 === 49 ? 'long '.repeat(200) : texts(i) }),
  )
  const bytes = Buffer.from(`${lines.join('\n')}\n`)
  let id = ''
  await tally.case(
    'openai: a file goes up in a form, is listed, shown and given back to the byte',
    async () => {
      const file = await client.files.create({
        file: await toFile(bytes, 'größer "als".jsonl'),
        purpose: 'batch',
        expires_after: { anchor: 'created_at', seconds: 3_600 },
      })
      id = file.id
      mustEqual([file.bytes, file.purpose, file.object], [bytes.length, 'batch', 'file'])
      mustEqual(file.expires_at! - file.created_at, 3_600)
      mustEqual((await client.files.retrieve(id)).filename, file.filename)
      const listed: string[] = []
      for await (const each of client.files.list({ purpose: 'batch', limit: 1 }))
        listed.push(each.id)
      mustEqual(listed.includes(id), true)
      const back = Buffer.from(await (await client.files.content(id)).arrayBuffer())
      mustEqual(back.equals(bytes), true)
    },
  )
  await tally.case(
    'openai: a file for something else is refused, and a deleted one is gone',
    async () => {
      const asking = client.files.create({
        file: await toFile(bytes, 'a.jsonl'),
        purpose: 'fine-tune',
      })
      const error = await asking.catch(caught => caught as APIError)
      mustEqual(error instanceof APIError && [error.status, error.param], [400, 'purpose'])
      const other = await uploaded(client, ['{}'])
      mustEqual(await client.files.delete(other), { id: other, object: 'file', deleted: true })
      const gone = await client.files.retrieve(other).catch(caught => caught as APIError)
      mustEqual(gone instanceof APIError && gone.status, 404)
    },
  )
  return id
}

async function whole(client: OpenAI, tally: Tally, model: string, file: string): Promise<void> {
  await tally.case(
    'openai: a batch answers every request as it would have been online, or says why not',
    async () => {
      const first = await client.batches.create({
        input_file_id: file,
        endpoint: ENDPOINT,
        completion_window: '24h',
        metadata: { who: 'the tests' },
      })
      mustEqual(
        [first.object, first.status, first.metadata],
        ['batch', 'validating', { who: 'the tests' }],
      )
      const batch = await ended(client, first)
      const failed = REQUESTS / 50
      mustEqual([batch.status, batch.errors ?? null], ['completed', null])
      mustEqual(batch.request_counts, { total: REQUESTS, completed: REQUESTS - failed, failed })
      const [answers, errors] = [
        await linesOf(client, batch.output_file_id),
        await linesOf(client, batch.error_file_id),
      ]
      const expected = Array.from({ length: REQUESTS }, (_, i) => i)
      mustEqual(
        answers.map(each => each.custom_id),
        expected.filter(i => i % 50 !== 49).map(i => `request-${i}`),
      )
      mustEqual(
        errors.map(each => [each.custom_id, each.response.status_code]),
        expected.filter(i => i % 50 === 49).map(i => [`request-${i}`, 400]),
      )
      mustEqual(errors[0]!.response.body.error!.param, 'input')
      const online = await client.embeddings.create({
        model,
        input: ['a model', 'the runner'],
        encoding_format: 'float',
      })
      const [a, b] = answers[3]!.response.body.data!
      const isClose = [a, b].every((each, i) =>
        each!.embedding.every((x, d) => Math.abs(x - online.data[i]!.embedding[d]!) < 1e-4),
      )
      mustEqual(isClose, true)
      const listed = await client.batches.list({ limit: 1 })
      mustEqual(listed.data[0]!.id, batch.id)
    },
  )
}

async function refused(client: OpenAI, tally: Tally, model: string): Promise<void> {
  const good = request('a', { model, input: 'a' })
  const cases: [string, string[], string, number | null][] = [
    ['a line that is no JSON', [good, '{"custom_id":'], 'invalid_json_line', 2],
    ['an id used twice', [good, good], 'duplicate_custom_id', 2],
    [
      'another path',
      [request('a', { model, input: 'a' }, { url: '/v1/responses' })],
      'invalid_url',
      1,
    ],
    ['two models', [good, request('b', { model: 'other', input: 'a' })], 'mismatched_model', 2],
    [
      'a model that there is not',
      [request('a', { model: 'nobody', input: 'a' })],
      'not_found',
      null,
    ],
  ]
  for (const [what, lines, code, line] of cases) {
    await tally.case(
      `openai: a batch with ${what} fails before it begins, by the line`,
      async () => {
        const batch = await ended(client, await begun(client, await uploaded(client, lines)))
        const [error] = batch.errors?.data ?? []
        mustEqual([batch.status, error?.code, error?.line], ['failed', code, line])
        mustEqual(batch.request_counts?.completed, 0)
      },
    )
  }
  await tally.case(
    'openai: a batch of a file that there is not, or of another window, is refused',
    async () => {
      const error = await begun(client, 'fil_none').catch(caught => caught as APIError)
      mustEqual(error instanceof APIError && [error.status, error.param], [400, 'input_file_id'])
      const asked = { input_file_id: 'x', endpoint: ENDPOINT, completion_window: '1h' }
      const other = await client.batches
        .create(asked as unknown as OpenAI.BatchCreateParams)
        .catch(caught => caught as APIError)
      mustEqual(other instanceof APIError && other.param, 'completion_window')
    },
  )
}

async function stopped(client: OpenAI, tally: Tally, model: string): Promise<void> {
  await tally.case(
    'openai: a batch that is cancelled keeps what it had done, and bills no more',
    async () => {
      const lines = Array.from({ length: 20_000 }, (_, i) =>
        request(`request-${i}`, { model, input: `${'some more words of text '.repeat(8)}${i}` }),
      )
      const batch = await begun(client, await uploaded(client, lines))
      for (;;) {
        const { request_counts } = await client.batches.retrieve(batch.id)
        if ((request_counts?.completed ?? 0) > 0) break
        await sleep(20)
      }
      const stopping = await client.batches.cancel(batch.id)
      mustEqual(['cancelling', 'cancelled'].includes(stopping.status), true)
      const { status, request_counts, output_file_id, cancelled_at } = await ended(client, batch)
      mustEqual([status, typeof cancelled_at], ['cancelled', 'number'])
      const answers = await linesOf(client, output_file_id)
      mustEqual(answers.length, request_counts!.completed)
      mustEqual(answers.length > 0 && answers.length < lines.length, true)
    },
  )
}
