/** Tokenising on a runner: never beside what serves, and whoever makes it slow waits alone. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, expect, onTestFinished, test, vi } from 'vitest'
import { groupsOf, paddedLength } from '#core/inference/embeddings/groups.ts'
import { readTokenizer } from '#gpu-runners/text/tokenizer.ts'
import { openTokenizers } from '#gpu-runners/text/tokenizers.ts'
import { validateModel } from '#gpu-runners/validate/validate.ts'
import { addSub } from '#tests/models.ts'
import { textEncoder } from '#tests/text-encoder.ts'
import { wordPiece } from '#tests/word-piece.ts'

vi.setConfig({ testTimeout: 60_000 })

const root = mkdtempSync(join(tmpdir(), 'galley-tokenizers-'))
afterAll(() => rmSync(root, { recursive: true }))
let written = 0

function stored(content: string | Uint8Array): string {
  const path = join(root, `${written++}`)
  writeFileSync(path, content)
  return path
}

/** A pattern that takes for ever on its text: (a+)+b over many a. */
function slowTokenizer(): string {
  const tokenizer = JSON.parse(wordPiece())
  tokenizer.normalizer = null
  tokenizer.pre_tokenizer = { type: 'Split', pattern: { Regex: '(a+)+b' }, behavior: 'Isolated' }
  return JSON.stringify(tokenizer)
}
const EVIL = 'a'.repeat(60)

test.each([
  ['The models.', ['[CLS]', 'the', 'model', '##s', '.', '[SEP]']],
  // The letter has no accent that could be taken off.
  ['  größer\tRUNNER\n', ['[CLS]', '[UNK]', 'runner', '[SEP]']],
  ['日本語', ['[CLS]', '日', '本', '語', '[SEP]']],
  // Past U+FFFF too: the library alone takes the halves of a surrogate pair apart.
  ['a𠀀b', ['[CLS]', 'a', '[UNK]', 'b', '[SEP]']],
  ['', ['[CLS]', '[SEP]']],
])('%j is cut as BERT’s own tokeniser cuts it', (given, tokens) => {
  const { vocab } = JSON.parse(wordPiece()).model as { vocab: Record<string, number> }
  expect(readTokenizer(wordPiece()).encode(given)).toEqual(tokens.map(token => vocab[token]))
})

test('a text that is cut keeps what begins and ends every text', () => {
  const tokenizer = readTokenizer(wordPiece())
  fc.assert(
    fc.property(
      fc.stringMatching(/^[a-z ]{0,60}$/),
      fc.integer({ min: 2, max: 20 }),
      (text, max) => {
        const [whole, cut] = [tokenizer.encode(text), tokenizer.encode(text, max)]
        expect(cut.length).toBe(Math.min(max, whole.length))
        expect([cut[0], cut.at(-1)]).toEqual([2, 3])
        expect(cut.slice(0, -1)).toEqual(whole.slice(0, cut.length - 1))
      },
    ),
  )
})

test('texts of any number and length come back in order, whatever else is asked at the time', async () => {
  const tokenizers = openTokenizers()
  onTestFinished(() => tokenizers.close())
  const open = tokenizers.open(stored(wordPiece()))
  const own = readTokenizer(wordPiece())
  const texts = fc.array(fc.string({ unit: 'grapheme', maxLength: 3_000 }), { maxLength: 40 })
  await fc.assert(
    fc.asyncProperty(texts, texts, async (a, b) => {
      const found = await Promise.all([a, b].map(each => open.encode(each)))
      const plain = found.map(({ ids }) => ids.map(each => [...each]))
      expect(plain).toEqual([a, b].map(each => each.map(text => own.encode(text))))
    }),
    { numRuns: 25 },
  )
})

test('a tokeniser that takes for ever on a text is refused, and the others go on', async () => {
  const tokenizers = openTokenizers({ sliceMsMax: 1_000 })
  onTestFinished(() => tokenizers.close())
  const good = tokenizers.open(stored(wordPiece()))
  const slow = tokenizers.open(stored(slowTokenizer()))
  await good.encode(['a'])
  await slow.encode(['b'])
  const evil = () => slow.encode([EVIL]).then(String, error => error.code)
  expect(
    await Promise.all([evil(), good.encode(['a model']).then(({ ids }) => ids.length)]),
  ).toEqual(['invalid_request', 1])
  // From now on it waits for nobody but itself: what is asked behind it is answered before it.
  const order: string[] = []
  const again = evil().then(() => order.push('slow'))
  await good.encode(['a']).then(() => order.push('good'))
  await again
  expect(order).toEqual(['good', 'slow'])
})

test('a row’s length follows from its own tokens alone, wastes an eighth at most, and passes no bound', () => {
  const padding = fc.record({
    isMasked: fc.boolean(),
    fixed: fc.constant(null),
    tokensMax: fc.integer({ min: 2, max: 2_048 }),
  })
  fc.assert(
    fc.property(padding, fc.array(fc.nat(2_047), { maxLength: 30 }), (o, given) => {
      const lengths = given.map(n => 1 + (n % o.tokensMax))
      const groups = groupsOf(lengths, o)
      expect(groups.flatMap(group => group.rows).sort((a, b) => a - b)).toEqual(
        lengths.map((_, i) => i),
      )
      for (const { length, rows } of groups) {
        for (const row of rows) {
          expect(paddedLength(lengths[row]!, o)).toBe(length)
          expect(length).toBeGreaterThanOrEqual(lengths[row]!)
          expect(length).toBeLessThanOrEqual(Math.min(o.tokensMax, lengths[row]! * 1.125))
          if (!o.isMasked) expect(length).toBe(lengths[row])
        }
      }
    }),
  )
})

const ENCODER = { layers: 1, width: 8, heads: 2, vocabulary: 200, positions: 32 }
const MANIFEST = {
  tokenizer: 'tokenizer.json',
  max_tokens: 32,
  pooling: 'mean',
  normalize: true,
  truncate: false,
} as const

async function verdict(
  more: object,
  graph = textEncoder({ seed: 1, ...ENCODER }),
  tokenizer = wordPiece(),
) {
  const files = Object.entries({ 'm.onnx': graph, 'tokenizer.json': tokenizer }).map(
    ([path, content]) => ({ path, localPath: stored(content), sha256: '', size: content.length }),
  )
  const embedding = { ...MANIFEST, ...more }
  const log = { info() {}, error() {} }
  const limits = { wallMs: 20_000 }
  return validateModel({ log }, { files, graph: 'm.onnx', embedding, limits })
}

test('publishing finds what is pooled, how wide it is, and that the mask hides padding', async () => {
  expect(await verdict({})).toMatchObject({
    ok: true,
    signature: { embedding: { output: 'last_hidden_state', width: 8, is_masked: true } },
  })
  expect(await verdict({ pooling: 'none' })).toMatchObject({
    signature: { embedding: { output: 'embedding', width: 8, is_masked: true } },
  })
})

test.each([
  [
    'a pooling of another rank',
    { output: 'embedding' },
    undefined,
    undefined,
    /\[rows, tokens, width\].*"embedding"/,
  ],
  [
    'an output that there is not',
    { output: 'pooler' },
    undefined,
    undefined,
    /gives .*"last_hidden_state"/,
  ],
  [
    'more tokens than the graph takes',
    { max_tokens: 64 },
    undefined,
    undefined,
    /failed on a text of 64 tokens/,
  ],
  [
    'larger vectors than there are',
    { dimensions: [16] },
    undefined,
    undefined,
    /16; the model's vectors have 8/,
  ],
  ['a graph that takes no tokens', {}, addSub(), undefined, /"INPUT0"/],
  ['a tokeniser that is none', {}, undefined, '{"model":1}', /no "model" with a vocabulary/],
  ['a tokeniser that is no JSON', {}, undefined, '\u0000', /tokenizer\.json as Hugging Face/],
  [
    'a tokeniser with a part unknown here',
    {},
    undefined,
    wordPiece().replace('BertPreTokenizer', 'Mystery'),
    /Mystery/,
  ],
])('publishing refuses %s, in words', async (_, more, graph, tokenizer, words) => {
  const found = await verdict(more, graph, tokenizer)
  expect(found).toEqual({ ok: false, code: 'invalid_model', detail: expect.stringMatching(words) })
})
