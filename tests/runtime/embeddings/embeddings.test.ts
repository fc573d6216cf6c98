/** Texts to vectors: what a runner answers equals what a naive reading of the same files computes. */
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import * as blobKeys from '#core/blob-keys.ts'
import type { Servable } from '#core/deps.ts'
import { Graph, model as onnx, tensor } from '#core/models/onnx/build.ts'
import { openOnnxRuntime } from '#gpu-runners/engines/onnxruntime.ts'
import { openModelFiles } from '#gpu-runners/models/files.ts'
import { openMemory } from '#gpu-runners/models/memory.ts'
import { openResidents } from '#gpu-runners/models/residents.ts'
import { embedBody } from '#gpu-runners/online/bodies.ts'
import { readTokenizer } from '#gpu-runners/text/tokenizer.ts'
import { validateModel } from '#gpu-runners/validate/validate.ts'
import { folderBlobs } from '#platform/blob/folder.ts'
import { newId } from '#schemas/ids.ts'
import type { EmbeddingManifest } from '#schemas/tables/models.ts'
import { systemClock as clock } from '#tests/caller.ts'
import { textEncoder } from '#tests/text-encoder.ts'
import { wordPiece } from '#tests/word-piece.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

const log = { info() {}, error() {} }
const root = mkdtempSync(join(tmpdir(), 'galley-embeddings-'))
const engine = openOnnxRuntime({ log })
const blobs = folderBlobs({ root: join(root, 'blobs') })
const files = openModelFiles({ blobs }, { folder: join(root, 'models') })
const memory = openMemory({ clock, log }, { budgetBytes: 2 ** 31, overheadBytes: () => 0 })
const residents = openResidents(
  { engine, files, memory, clock, log, hardware: 'cpu' },
  { onChange() {} },
)
const tenantId = newId('tenant')
const TOKENIZER = wordPiece()
const { vocabulary } = readTokenizer(TOKENIZER)
const SIZES = { layers: 2, width: 32, heads: 2, vocabulary, positions: 64 }
const GRAPH = textEncoder({ seed: 7, ...SIZES, pooled: false })
const MANIFEST = {
  tokenizer: 'tokenizer.json',
  max_tokens: 64,
  pooling: 'mean',
  normalize: true,
  truncate: false,
} as const
let session: InferenceSession

beforeAll(async () => {
  session = await InferenceSession.create(Buffer.from(GRAPH), { intraOpNumThreads: 1 })
})
afterAll(async () => {
  await engine.close()
  rmSync(root, { recursive: true })
})

/** Publishes as the product does: judged in the sandbox, its signature as found there. */
async function published(embedding: EmbeddingManifest, graph = GRAPH): Promise<Servable> {
  const given = await Promise.all(
    Object.entries({ 'model.onnx': graph, 'tokenizer.json': Buffer.from(TOKENIZER) }).map(
      async ([path, bytes]) => {
        const sha256 = createHash('sha256').update(bytes).digest('hex')
        const key = blobKeys.file(tenantId, sha256)
        await blobs.put(key, bytes)
        const localPath = await blobs.localFile(key)
        return { path, sha256, size: bytes.length, localPath }
      },
    ),
  )
  const verdict = await validateModel({ log }, { files: given, graph: 'model.onnx', embedding })
  if (!verdict.ok) throw new Error(verdict.detail)
  const digest = createHash('sha256')
    .update(JSON.stringify([embedding, given]))
    .digest('hex')
  const manifest = { graph: 'model.onnx', files: given, embedding }
  return { model: 'm', version: 1, digest, manifest, signature: verdict.signature }
}

async function embedded(model: Servable, request: object) {
  const resident = await residents.get(tenantId, model)
  const body = Buffer.from(JSON.stringify({ model: 'm', ...request }))
  const done = await embedBody(resident, model, body, { tenant: tenantId })
  const reply = JSON.parse(Buffer.from(done.body).toString()) as {
    data: { index: number; embedding: number[] | string }[]
    usage: { prompt_tokens: number }
  }
  expect(reply.data.map(each => each.index)).toEqual(reply.data.map((_, i) => i))
  expect([done.tokens, done.rows]).toEqual([reply.usage.prompt_tokens, reply.data.length])
  return { ...done, vectors: reply.data.map(each => floatsOf(each.embedding)) }
}

function floatsOf(embedding: number[] | string): number[] {
  if (typeof embedding !== 'string') return embedding
  const bytes = Buffer.from(embedding, 'base64')
  return Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(i * 4))
}

/** One text alone, without padding, pooled as the words of the documentation say it. */
async function naive(ids: number[], { pooling, normalize }: EmbeddingManifest): Promise<number[]> {
  const dims = [1, ids.length]
  const feeds = {
    input_ids: new Tensor('int64', BigInt64Array.from(ids, BigInt), dims),
    attention_mask: new Tensor('int64', new BigInt64Array(ids.length).fill(1n), dims),
  }
  const hidden = (await session.run(feeds)).last_hidden_state!.data as Float32Array
  const row = (i: number) => Array.from(hidden.subarray(i * SIZES.width, (i + 1) * SIZES.width))
  const rows = ids.map((_, i) => row(i))
  const mean = rows[0]!.map((_, d) => rows.reduce((sum, each) => sum + each[d]!, 0) / rows.length)
  const pooled = { mean, cls: rows[0]!, last: rows.at(-1)!, none: [] }[pooling]
  const length = normalize ? Math.hypot(...pooled) : 1
  return pooled.map(x => x / length)
}

function expectClose(actual: number[], expected: number[]): void {
  expect(actual.length).toBe(expected.length)
  actual.forEach((x, i) => {
    expect(Math.abs(x - expected[i]!), `element ${i}`).toBeLessThan(1e-4)
  })
}

const word = fc.constantFrom('the', 'runner', 'serves', 'Models,', 'größer', '日本', 'zzz!', 'a')
const text = fc.array(word, { minLength: 1, maxLength: 40 }).map(words => words.join(' '))

test.each([
  ['mean', true],
  ['mean', false],
  ['cls', true],
  ['last', true],
] as const)(
  'pooling %s (normalised: %s) equals a naive computation, text by text',
  async (pooling, normalize) => {
    const manifest = { ...MANIFEST, pooling, normalize }
    const model = await published(manifest)
    expect(model.signature.embedding).toMatchObject({ width: 32, is_masked: true, vocabulary })
    const tokenizer = readTokenizer(TOKENIZER)
    await fc.assert(
      fc.asyncProperty(fc.array(text, { minLength: 1, maxLength: 12 }), async texts => {
        const ids = texts.map(each => tokenizer.encode(each))
        fc.pre(ids.every(each => each.length <= 64))
        const { vectors, tokens } = await embedded(model, {
          input: texts,
          encoding_format: 'base64',
        })
        expect(tokens).toBe(ids.flat().length)
        for (const [i, each] of ids.entries()) expectClose(vectors[i]!, await naive(each, manifest))
      }),
      { numRuns: 15 },
    )
  },
)

test('a text gives the same vector alone and among any others, in either encoding, as text and as ids', async () => {
  const model = await published(MANIFEST)
  const tokenizer = readTokenizer(TOKENIZER)
  const alone = await embedded(model, {
    input: 'the runner serves models',
    encoding_format: 'base64',
  })
  const others = ['a', 'the runner serves models', 'größer 日本 zzz! a a a a a a a a a a a a a']
  for (const encoding_format of ['float', 'base64']) {
    const { vectors } = await embedded(model, { input: others, encoding_format })
    expectClose(vectors[1]!, alone.vectors[0]!)
  }
  const ids = others.map(each => tokenizer.encode(each))
  const byIds = await embedded(model, { input: ids })
  expectClose(byIds.vectors[1]!, alone.vectors[0]!)
  expectClose((await embedded(model, { input: ids[1] })).vectors[0]!, alone.vectors[0]!)
})

/** Each row is lessened by half the mean of all rows of its run. */
function crossTalk(): Uint8Array {
  const graph = new Graph('cross_talk')
  for (const name of ['input_ids', 'attention_mask']) graph.input(name, 'INT64', ['batch', 't'])
  const values = Array.from({ length: vocabulary * 4 }, (_, i) => Math.sin(i))
  graph.initializer('table', tensor('FP32', [vocabulary, 4], values))
  graph.initializer('half', tensor('FP32', [], [0.5]))
  const rows = graph.node('Gather', ['table', 'input_ids'])
  const mean = graph.node('ReduceMean', [rows], { axes: { ints: [0] }, keepdims: { int: 1 } })
  const less = graph.node('Mul', [mean, 'half'])
  graph.node('Sub', [rows, less], {}, { outputs: ['last_hidden_state'] })
  graph.output('last_hidden_state', 'FP32', ['batch', 't', 4])
  return onnx(graph)
}

test('a model whose rows influence each other gives each text what it gets alone', async () => {
  const model = await published(MANIFEST, crossTalk())
  expect(model.signature.batching).toBe('unbatched')
  const texts = ['the', 'runner', 'a model', 'models']
  const together = await embedded(model, { input: texts, encoding_format: 'base64' })
  for (const [i, input] of texts.entries()) {
    const alone = await embedded(model, { input, encoding_format: 'base64' })
    expect(together.vectors[i]).toEqual(alone.vectors[0])
  }
})

test('vectors are cut to a size that the manifest names, and have length one again', async () => {
  const model = await published({ ...MANIFEST, dimensions: [8] })
  const whole = (await embedded(model, { input: 'a runner' })).vectors[0]!
  const short = (await embedded(model, { input: 'a runner', dimensions: 8 })).vectors[0]!
  const length = Math.hypot(...whole.slice(0, 8))
  expectClose(
    short,
    whole.slice(0, 8).map(x => x / length),
  )
  await expect(embedded(model, { input: 'a', dimensions: 9 })).rejects.toMatchObject({
    code: 'invalid_request',
    public: expect.stringContaining('8, 32'),
    errors: [{ pointer: '/dimensions' }],
  })
})

test('a long text is refused with its length, or cut where the manifest says so', async () => {
  const long = 'runner '.repeat(100)
  const strict = await published(MANIFEST)
  await expect(embedded(strict, { input: ['a', long] })).rejects.toMatchObject({
    code: 'invalid_request',
    public: expect.stringContaining('this model takes 64'),
    errors: [{ pointer: '/input/1' }],
  })
  const cutting = await published({ ...MANIFEST, truncate: true })
  const cut = await embedded(cutting, { input: long })
  expect(cut.tokens).toBe(64)
  expectClose(
    cut.vectors[0]!,
    (await embedded(strict, { input: 'runner '.repeat(62) })).vectors[0]!,
  )
})

test('a prefix is put in front by input_type', async () => {
  const model = await published({ ...MANIFEST, prefixes: { query: 'the ' } })
  const asked = await embedded(model, { input: 'runner', input_type: 'query' })
  expectClose(asked.vectors[0]!, (await embedded(model, { input: 'the runner' })).vectors[0]!)
  await expect(embedded(model, { input: 'a', input_type: 'passage' })).rejects.toMatchObject({
    public: expect.stringContaining('query'),
  })
})

test.each([
  ['no input', {}, 'input'],
  ['an empty list', { input: [] }, 'input'],
  ['a number', { input: 7 }, 'input'],
  ['texts and ids mixed', { input: ['a', [1]] }, 'input/1'],
  ['a fraction among ids', { input: [[1, 2.5]] }, 'input/0'],
  ['a negative id', { input: [[1], [-2]] }, 'input/1'],
  ['an id of no token', { input: [[1], [999_999]] }, 'input/1'],
  ['an encoding of its own', { input: 'a', encoding_format: 'int8' }, 'encoding_format'],
  ['dimensions of 0', { input: 'a', dimensions: 0 }, 'dimensions'],
  ['a model without a name', { input: 'a', model: '' }, 'model'],
])('%s is refused by the name of the field', async (_, request, field) => {
  const model = await published(MANIFEST)
  await expect(embedded(model, request)).rejects.toMatchObject({
    code: 'invalid_request',
    errors: [{ pointer: `/${field}` }],
  })
})
