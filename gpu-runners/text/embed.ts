/** Texts to vectors: cut into tokens, grouped by length, run, and put back in the order of the request. */
import type { Servable } from '#core/deps.ts'
import {
  type EmbeddingsRequest,
  type Group,
  groupsOf,
  notText,
  wrong,
} from '#core/inference/embeddings/embeddings.ts'
import type { Tensor } from '#core/inference/tensor.ts'
import { VECTOR_OUTPUT } from '#core/models/embedding.ts'
import type { TensorSpec } from '#schemas/signature.ts'
import type { EmbeddingManifest } from '#schemas/tables/models.ts'
import type { OpenTokenizer } from './tokenizers.ts'

/** Of one request, as OpenAI has it. */
const REQUEST_TOKENS_MAX = 300_000
/** A text of more characters for each token that the model takes is not worth cutting. */
const CHARS_PER_TOKEN_MAX = 64

type Ids = Int32Array | number[]
export type Machine = {
  tokenizer: OpenTokenizer | null
  /** Rows of one length through the model. */
  run(inputs: Tensor[], outputs: string[]): Promise<{ outputs: Tensor[]; computeUs: number }>
}
export type Embedded = {
  /** In the order of the request. */
  vectors: Float32Array[]
  /** Special tokens included, padding not. */
  tokens: number
  computeUs: number
}

/** Throws `invalid_request` with what of the request is wrong, and what the run throws. */
export async function embed(
  model: Servable,
  { tokenizer, run }: Machine,
  request: EmbeddingsRequest,
): Promise<Embedded> {
  const { embedding: manifest } = model.manifest
  const { embedding } = model.signature
  if (!manifest || !embedding || !tokenizer) throw notText(model)
  const width = widthOf(request, manifest, embedding.width)
  const ids = await idsOf(request, manifest, embedding.vocabulary, tokenizer)
  const tokens = ids.reduce((sum, each) => sum + each.length, 0)
  if (tokens > REQUEST_TOKENS_MAX) {
    throw wrong(
      'input',
      `The request has ${tokens} tokens; ${REQUEST_TOKENS_MAX} is the most at once.`,
    )
  }
  const fixed = model.signature.inputs[0]!.shape[1]!
  const groups = groupsOf(
    ids.map(each => each.length),
    {
      isMasked: embedding.is_masked,
      fixed: fixed > 0 ? fixed : null,
      tokensMax: manifest.max_tokens,
      isAlone: model.signature.batching === 'unbatched',
    },
  )
  const vectors = new Array<Float32Array>(ids.length)
  let computeUs = 0
  const running = groups.map(async group => {
    const rows = group.rows.map(row => ids[row]!)
    const inputs = model.signature.inputs.map(spec => inputOf(spec, rows, group))
    const done = await run(inputs, [VECTOR_OUTPUT])
    computeUs += done.computeUs
    const data = done.outputs[0]!.data as Float32Array
    group.rows.forEach((row, i) => {
      const own = data.subarray(i * embedding.width, (i + 1) * embedding.width)
      vectors[row] = width === embedding.width ? own : shortened(own, width, manifest.normalize)
    })
  })
  await settled(running)
  return { vectors, tokens, computeUs }
}

/** All of them, and the first failure when none runs any more: what runs still reads what we hold. */
async function settled(running: Promise<void>[]): Promise<void> {
  for (const each of await Promise.allSettled(running)) {
    if (each.status === 'rejected') throw each.reason
  }
}

function widthOf({ dimensions }: EmbeddingsRequest, manifest: EmbeddingManifest, width: number) {
  if (dimensions === null || dimensions === width) return width
  const taken = [width, ...(manifest.dimensions ?? []).filter(each => each < width)]
  if (taken.includes(dimensions)) return dimensions
  throw wrong(
    'dimensions',
    `This model gives vectors of ${taken.sort((a, b) => a - b).join(', ')} elements; "dimensions" is ${dimensions}.`,
  )
}

async function idsOf(
  { inputs, inputType }: EmbeddingsRequest,
  { max_tokens: most, truncate, prefixes = {} }: EmbeddingManifest,
  vocabulary: number,
  tokenizer: OpenTokenizer,
): Promise<Ids[]> {
  if (inputType !== null && !Object.hasOwn(prefixes, inputType)) {
    const taken = Object.keys(prefixes)
    const right = taken.length > 0 ? `it is one of ${taken.join(', ')}` : 'this model has none'
    throw wrong('input_type', `"input_type" is "${inputType}"; ${right}.`)
  }
  const count = 'ids' in inputs ? inputs.ids.length : inputs.texts.length
  const at = (row: number) => (count > 1 ? `input/${row}` : 'input')
  if ('ids' in inputs) {
    inputs.ids.forEach((ids, row) => {
      const odd = ids.find(id => id >= vocabulary)
      if (odd === undefined) return
      throw wrong(at(row), `Token ${odd} is none of this model: its ids are below ${vocabulary}.`)
    })
  }
  const ids: Ids[] =
    'ids' in inputs
      ? inputs.ids.map(each => (truncate ? each.slice(0, most) : each))
      : (
          await tokenizer.encode(
            prefixed(inputs.texts, inputType === null ? '' : prefixes[inputType]!, most, truncate),
            truncate ? most : undefined,
          )
        ).ids
  ids.forEach((each, row) => {
    if (each.length === 0) throw wrong(at(row), 'The text is empty: it has no tokens.')
    if (each.length <= most) return
    throw wrong(at(row), `The text has ${each.length} tokens; this model takes ${most}.`)
  })
  return ids
}

function prefixed(texts: string[], prefix: string, most: number, truncate: boolean): string[] {
  const charsMax = most * CHARS_PER_TOKEN_MAX
  return texts.map((text, row) => {
    if (text.length <= charsMax) return prefix + text
    if (truncate) return prefix + text.slice(0, charsMax)
    throw wrong(
      texts.length > 1 ? `input/${row}` : 'input',
      `The text has ${text.length} characters, which is more than ${most} tokens, all that this model takes.`,
    )
  })
}

function inputOf({ name, datatype }: TensorSpec, rows: Ids[], { length }: Group): Tensor {
  const count = rows.length * length
  const data = datatype === 'INT64' ? new BigInt64Array(count) : new Int32Array(count)
  const one = datatype === 'INT64' ? BigInt : (n: number) => n
  const fill = FILLS[name]!
  rows.forEach((ids, row) => {
    const steps = name === 'position_ids' ? length : ids.length
    for (let i = 0; i < steps; i++) data[row * length + i] = one(fill(ids, i)) as never
  })
  return { name, datatype, shape: [rows.length, length], data }
}

/** What is left over is padding, and zero. */
const FILLS: Record<string, (ids: Ids, i: number) => number> = {
  input_ids: (ids, i) => ids[i]!,
  attention_mask: () => 1,
  token_type_ids: () => 0,
  position_ids: (_, i) => i,
}

/** The first elements, of length 1 again where the whole was. */
function shortened(vector: Float32Array, width: number, normalize: boolean): Float32Array {
  const first = vector.slice(0, width)
  if (!normalize) return first
  const length = Math.sqrt(first.reduce((sum, x) => sum + x * x, 0))
  return length > 0 ? first.map(x => x / length) : first
}
