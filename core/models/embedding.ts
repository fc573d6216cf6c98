/**
 * Models that embed texts: what a manifest says of that, and the one output that such a model is given
 * besides its own. The nodes that make it are appended to the graph when a runner loads it.
 */
import type { Signature } from '#schemas/signature.ts'
import type { Manifest } from '#schemas/tables/models.ts'
import { invalid } from './onnx/wire.ts'

/** One vector a row, pooled and normalised as the manifest says. */
export const VECTOR_OUTPUT = 'galley.vector'

/** What the inputs of a text model are called, by convention of those that export them. */
const TEXT_INPUTS = ['input_ids', 'attention_mask', 'token_type_ids', 'position_ids']

type Embedding = NonNullable<Manifest['embedding']>
/** The output that a pooling reads, by convention, in the order in which they are looked for. */
const HIDDEN = ['last_hidden_state', 'token_embeddings']
const POOLED = ['sentence_embedding', 'embedding', 'embeddings']

/** The signature with the vector behind the graph's own outputs; the same where it does not embed. */
export function withVector(signature: Signature): Signature {
  const { embedding } = signature
  if (!embedding) return signature
  const shape = [-1, embedding.width]
  const vector = { name: VECTOR_OUTPUT, datatype: 'FP32', shape, batch_axis: 0 } as const
  return { ...signature, outputs: [...signature.outputs, vector] }
}

/**
 * Which output is pooled, and how wide its vectors are. Throws `invalid_model` for a graph that takes
 * something else than tokens, or whose outputs do not fit the pooling.
 */
export function pooledOutput(
  { inputs, outputs }: Signature,
  { output, pooling }: Embedding,
): { output: string; width: number } {
  checkInputs(inputs, pooling)
  const rank = pooling === 'none' ? 2 : 3
  const wanted = output ? [output] : pooling === 'none' ? [...POOLED, ...HIDDEN] : HIDDEN
  const found = wanted.map(name => outputs.find(each => each.name === name)).find(each => each)
  const chosen = found ?? (output || outputs.length !== 1 ? undefined : outputs[0])
  const listed = outputs.map(each => `"${each.name}" [${each.shape}]`).join(', ')
  if (!chosen) {
    throw invalid(
      `embedding.output must name the output to ${pooling === 'none' ? 'take' : 'pool'}; the graph gives ${listed}.`,
    )
  }
  const width = chosen.shape.at(-1)!
  const isFloat = chosen.datatype === 'FP32' || chosen.datatype === 'FP16'
  if (chosen.shape.length === rank && isFloat && chosen.batch_axis === 0 && width > 0) {
    return { output: chosen.name, width }
  }
  const shape = rank === 2 ? '[rows, width]' : '[rows, tokens, width]'
  throw invalid(
    `embedding.pooling "${pooling}" needs an output of floats of shape ${shape} with the rows first; "${chosen.name}" is ${chosen.datatype} [${chosen.shape}].`,
  )
}

function checkInputs(inputs: Signature['inputs'], pooling: Embedding['pooling']): void {
  const names = inputs.map(input => input.name)
  const strange = inputs.find(({ name, datatype, shape, batch_axis }) => {
    const isText = TEXT_INPUTS.includes(name) && (datatype === 'INT64' || datatype === 'INT32')
    return !isText || shape.length !== 2 || batch_axis !== 0
  })
  if (strange) {
    throw invalid(
      `A model that embeds texts takes ${TEXT_INPUTS.join(', ')} or some of them, whole numbers of shape [rows, tokens]; this one takes "${strange.name}" ${strange.datatype} [${strange.shape}].`,
    )
  }
  if (!names.includes('input_ids')) throw invalid('A model that embeds texts takes "input_ids".')
  if ((pooling === 'mean' || pooling === 'last') && !names.includes('attention_mask')) {
    throw invalid(
      `embedding.pooling "${pooling}" goes by the input "attention_mask", which this graph lacks.`,
    )
  }
}
