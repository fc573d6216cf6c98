/**
 * A model that embeds texts is tried with texts: its tokeniser cuts some, the graph takes what comes out,
 * and the answers tell whether the attention mask hides padding.
 */
import { readFileSync } from 'node:fs'
import { type InferenceSession, Tensor } from 'onnxruntime-node'
import { pooledOutput } from '#core/models/embedding.ts'
import { POOLING_OPSET_MIN } from '#core/models/onnx/pooling.ts'
import { invalid } from '#core/models/onnx/wire.ts'
import { readTokenizer } from '#gpu-runners/text/tokenizer.ts'
import type { EmbeddingSignature, Signature } from '#schemas/signature.ts'
import type { EmbeddingManifest } from '#schemas/tables/models.ts'
import { isClose } from './compare.ts'
import { sentenceFor } from './runtime-error.ts'

export type TextsTask = {
  session: InferenceSession
  signature: Signature
  /** Of the graph, by domain. */
  opsets: Record<string, number>
  manifest: EmbeddingManifest
}
type Ids = readonly number[]

const TEXTS = [
  'word',
  'a few words',
  'A sentence of some more words, with a comma and a full stop.',
]
/** More than this many tokens are believed: trying them may take minutes. */
const TRIED_TOKENS_MAX = 1_024
const PADDINGS = [1, 6, 17]

/** Throws `invalid_model` with what does not fit. */
export async function tryTexts(task: TextsTask): Promise<EmbeddingSignature> {
  const { signature, manifest, opsets } = task
  const { output, width } = pooledOutput(signature, manifest)
  if (manifest.pooling === 'last' && (opsets[''] ?? 0) < POOLING_OPSET_MIN) {
    throw invalid(
      `embedding.pooling "last" needs opset ${POOLING_OPSET_MIN}; the graph has ${opsets['']}. Export it with a newer one.`,
    )
  }
  const large = manifest.dimensions?.find(dimensions => dimensions > width)
  if (large !== undefined) {
    throw invalid(
      `embedding.dimensions holds ${large}; the model's vectors have ${width} elements.`,
    )
  }
  const tokenizer = readTokenizer(readFileSync(manifest.tokenizer, 'utf8'))
  const texts = TEXTS.map(text => tokenizer.encode(text, manifest.max_tokens))
  const isMasked = await tryLengths(task, output, texts)
  await tryLongest(task, output, texts.at(-1)!)
  return { output, width, is_masked: isMasked, vocabulary: tokenizer.vocabulary }
}

/** Whether each text gives the same with padding behind it as without. */
async function tryLengths(task: TextsTask, output: string, texts: Ids[]): Promise<boolean> {
  const { inputs } = task.signature
  const fixed = inputs[0]!.shape[1]!
  if (fixed > 0) {
    if (task.manifest.max_tokens > fixed) {
      throw invalid(`The graph takes ${fixed} tokens; embedding.max_tokens must not be above it.`)
    }
    for (const ids of texts) await mustRun(task, output, ids, fixed)
    return true
  }
  const hasMask = inputs.some(({ name }) => name === 'attention_mask')
  let isMasked = hasMask
  for (const ids of texts) {
    const lone = await mustRun(task, output, ids, ids.length)
    for (const more of PADDINGS) {
      const length = ids.length + more
      if (!isMasked || length > task.manifest.max_tokens) break
      const padded = await run(task, output, ids, length).catch(() => null)
      isMasked = padded !== null && isSame(lone, padded)
    }
  }
  return isMasked
}

async function tryLongest(task: TextsTask, output: string, ids: Ids): Promise<void> {
  const length = Math.min(task.manifest.max_tokens, TRIED_TOKENS_MAX)
  const long = Array.from({ length }, (_, i) => ids[i % ids.length]!)
  await mustRun(task, output, long, length)
}

async function mustRun(task: TextsTask, output: string, ids: Ids, length: number): Promise<Tensor> {
  try {
    return await run(task, output, ids, length)
  } catch (error) {
    throw invalid(`The model failed on a text of ${ids.length} tokens: ${sentenceFor(error)}`)
  }
}

async function run(
  { session, signature }: TextsTask,
  output: string,
  ids: Ids,
  length: number,
): Promise<Tensor> {
  const values: Record<string, (i: number) => number> = {
    input_ids: i => ids[i] ?? 0,
    attention_mask: i => (i < ids.length ? 1 : 0),
    token_type_ids: () => 0,
    position_ids: i => i,
  }
  const feeds = signature.inputs.map(({ name, datatype }) => {
    const row = Array.from({ length }, (_, i) => values[name]!(i))
    const tensor =
      datatype === 'INT64'
        ? new Tensor('int64', BigInt64Array.from(row, BigInt), [1, length])
        : new Tensor('int32', Int32Array.from(row), [1, length])
    return [name, tensor] as const
  })
  return (await session.run(Object.fromEntries(feeds), [output]))[output]!
}

/** Of the tokens that are there; what stands behind them is nobody's. */
function isSame(lone: Tensor, padded: Tensor): boolean {
  const datatype = lone.type === 'float16' ? 'FP16' : 'FP32'
  const [a, b] = [lone.data, padded.data] as [ArrayLike<number>, ArrayLike<number>]
  for (let i = 0; i < a.length; i++) {
    if (!Object.is(a[i], b[i]) && !isClose(a[i], b[i], datatype)) return false
  }
  return true
}
