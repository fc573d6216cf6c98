/** OpenAI's own client for Node, unmodified: models, embeddings and batches. */
import { randomUUID } from 'node:crypto'
import OpenAI, { APIError, AuthenticationError, NotFoundError } from 'openai'
import { Galley } from '#sdk/client.ts'
import { addSub } from '#tests/models.ts'
import { textEncoder } from '#tests/text-encoder.ts'
import { wordPiece } from '#tests/word-piece.ts'
import type { Product } from '../../../../bench/product.ts'
import { mustEqual } from '../scene.ts'
import type { Tally } from '../tally.ts'
import { batchesByOpenai } from './openai-batches.ts'

const WIDTH = 16
const TEXTS = [
  'a model',
  'the runner serves',
  'a model',
  '日本 and more words of text, with a comma.',
]
const SIZES = { layers: 1, width: WIDTH, heads: 2, vocabulary: 200, positions: 64 }

export async function asksByOpenai(product: Product, tally: Tally): Promise<void> {
  const galley = new Galley({ baseUrl: product.url, key: product.key })
  const model = `text-${randomUUID().slice(0, 8)}`
  const embedding = {
    tokenizer: 'tokenizer.json',
    max_tokens: 64,
    pooling: 'mean' as const,
    dimensions: [8],
  }
  const files = {
    'model.onnx': textEncoder({ seed: 3, ...SIZES }),
    'tokenizer.json': Buffer.from(wordPiece()),
  }
  await galley.publish(model, files, { embedding })
  await galley.publish('tensors-alone', { 'model.onnx': addSub() })
  const client = new OpenAI({ baseURL: `${product.url}/v1`, apiKey: product.key, maxRetries: 0 })
  await models(client, tally, model)
  await embeddings(client, tally, model)
  await refusals(client, tally, model, product)
  await batchesByOpenai(client, tally, model)
}

async function models(client: OpenAI, tally: Tally, model: string): Promise<void> {
  await tally.case('openai: models are listed and found by name', async () => {
    const listed: string[] = []
    for await (const each of client.models.list()) listed.push(each.id)
    mustEqual(
      [model, 'tensors-alone'].map(name => listed.includes(name)),
      [true, true],
    )
    const { id, object } = await client.models.retrieve(model)
    mustEqual([id, object], [model, 'model'])
  })
  await tally.case(
    'openai: a model that there is not is a NotFoundError with its message',
    async () => {
      const error = await failureOf(client.models.retrieve('no-such-model'))
      mustEqual(
        [error instanceof NotFoundError, error.status, error.code],
        [true, 404, 'not_found'],
      )
      mustEqual(error.message.includes('no-such-model'), true)
    },
  )
}

async function embeddings(client: OpenAI, tally: Tally, model: string): Promise<void> {
  const ask = (more: object) =>
    client.embeddings.create({ model, input: TEXTS, ...more } as OpenAI.EmbeddingCreateParams)
  await tally.case(
    'openai: what the client asks for unasked (base64) and floats are the same numbers',
    async () => {
      const [unasked, floats] = [await ask({}), await ask({ encoding_format: 'float' })]
      mustEqual(
        unasked.data.map(each => each.embedding.length),
        TEXTS.map(() => WIDTH),
      )
      mustEqual(
        unasked.data.map(each => [...each.embedding].map(Math.fround)),
        floats.data.map(each => each.embedding.map(Math.fround)),
      )
      mustEqual(unasked.data[0]!.embedding, unasked.data[2]!.embedding)
      for (const { embedding } of floats.data) {
        mustEqual(Math.abs(Math.hypot(...embedding) - 1) < 1e-5, true)
      }
    },
  )
  await tally.case(
    'openai: one text, texts, ids and lists of ids are all taken, in order',
    async () => {
      const whole = (await ask({})).data[1]!.embedding
      const alone = await ask({ input: TEXTS[1] })
      mustEqual([alone.data.length, close(alone.data[0]!.embedding, whole)], [1, true])
      const [cls, sep] = [2, 3]
      const byIds = await ask({
        input: [
          [cls, sep],
          [cls, 10, sep],
        ],
      })
      mustEqual(
        byIds.data.map(each => each.index),
        [0, 1],
      )
      const oneList = await ask({ input: [cls, 10, sep] })
      mustEqual(close(oneList.data[0]!.embedding, byIds.data[1]!.embedding), true)
    },
  )
  await tally.case(
    'openai: dimensions that the model was made for, and usage by the token',
    async () => {
      const short = await ask({ dimensions: 8, user: 'somebody', input: 'a model' })
      mustEqual(
        [short.data[0]!.embedding.length, short.usage],
        [8, { prompt_tokens: 4, total_tokens: 4 }],
      )
      mustEqual([short.object, short.model], ['list', model])
    },
  )
  await tally.case('openai: a version is named behind a colon', async () => {
    const { data } = await client.embeddings.create({ model: `${model}:1`, input: 'a model' })
    mustEqual(data[0]!.embedding.length, WIDTH)
  })
}

async function refusals(
  client: OpenAI,
  tally: Tally,
  model: string,
  { url }: Product,
): Promise<void> {
  const cases: [string, object, string | null, string][] = [
    ['a text that is too long', { input: 'a '.repeat(100) }, 'input', '64'],
    ['the second of two texts', { input: ['a', 'b '.repeat(100)] }, 'input.1', '64'],
    ['an empty list', { input: [] }, 'input', 'empty'],
    ['dimensions that it has not', { dimensions: 5 }, 'dimensions', '8, 16'],
    ['a model of tensors', { model: 'tensors-alone' }, 'model', '/v2/models/tensors-alone/infer'],
    ['a model without a name', { model: '' }, 'model', 'name of a model'],
  ]
  for (const [what, more, param, words] of cases) {
    await tally.case(`openai: ${what} is refused with the field's name`, async () => {
      const asked = { model, input: 'a', ...more } as OpenAI.EmbeddingCreateParams
      const error = await failureOf(client.embeddings.create(asked))
      mustEqual([error.status, error.type, error.param], [400, 'invalid_request_error', param])
      mustEqual(error.message.includes(words) || error.message, true)
    })
  }
  await tally.case('openai: a key that does not work is an AuthenticationError', async () => {
    const other = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'sk-none', maxRetries: 0 })
    const error = await failureOf(other.embeddings.create({ model, input: 'a' }))
    mustEqual([error instanceof AuthenticationError, error.code], [true, 'unauthenticated'])
  })
  await tally.case('openai: what is not served here is refused in its own form', async () => {
    const asked = { model, messages: [{ role: 'user' as const, content: 'hi' }] }
    const error = await failureOf(client.chat.completions.create(asked))
    mustEqual([error.status, error.code, error.type], [404, 'not_found', 'invalid_request_error'])
  })
}

/** What the client made of the refusal. Throws when there was none. */
async function failureOf(asking: Promise<unknown>): Promise<APIError> {
  try {
    await asking
  } catch (error) {
    if (error instanceof APIError) return error
    throw error
  }
  throw new Error('it was not refused')
}

const close = (a: number[], b: number[]) =>
  a.length === b.length && a.every((x, i) => Math.abs(x - b[i]!) < 1e-4)
