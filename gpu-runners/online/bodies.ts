/** What a request's body asks of a model that is here, and the body of its answer. */
import type { Servable } from '#core/deps.ts'
import { embeddingsRequest, objectOf } from '#core/inference/embeddings/embeddings.ts'
import { decodeRequest, encodeReply, scheduleOf } from '#core/inference/oip.ts'
import type { Submission } from '#gpu-runners/batcher/batcher.ts'
import type { Resident } from '#gpu-runners/models/residents.ts'
import { embed } from '#gpu-runners/text/embed.ts'
import { embeddingsReply } from '#gpu-runners/text/reply.ts'
import type { Answered } from './inference-log.ts'
import type { InferHead } from './messages.ts'

export type Done = {
  body: Uint8Array
  jsonLength: number | null
  rows: number
  /** Of the run that it was part of; absent where there were several. */
  batchRows?: number
  computeUs: number
  tokens?: number
  /** Of a model whose inferences are kept. */
  answered?: Answered
}
type Who = Pick<Submission, 'tenant' | 'weight' | 'deadlineMs' | 'signal' | 'trace'>

/** Tensors of the Open Inference Protocol. */
export async function inferBody(
  { batcher }: Resident,
  { model, version, signature, serving }: Servable,
  head: InferHead,
  body: Buffer,
  who: Who,
): Promise<Done> {
  const request = decodeRequest({ body, jsonLength: head.jsonLength, signature })
  const answer = await batcher.submit({
    ...who,
    ...scheduleOf(request.parameters),
    inputs: request.inputs,
    outputs: request.outputs.map(output => signature.outputs[output.index]!.name),
  })
  const encoded = encodeReply({
    modelName: model,
    modelVersion: String(version),
    id: request.id ?? head.requestId,
    signature,
    outputs: answer.outputs,
    requested: request.outputs,
  })
  const { computeUs, batchRows } = answer
  const done: Done = { ...encoded, rows: request.rows, batchRows, computeUs }
  if (serving?.inference_log) done.answered = { request, outputs: answer.outputs }
  return done
}

/** Texts in the form of OpenAI. Rows of one length share a run, with other callers' where the batcher lets them. */
export async function embedBody(
  { batcher, tokenizer }: Resident,
  model: Servable,
  body: Buffer,
  who: Who,
): Promise<Done> {
  const request = embeddingsRequest(objectOf(body))
  let failed = false
  const signal = {
    get aborted() {
      return failed || who.signal?.aborted === true
    },
  }
  const run: Parameters<typeof embed>[1]['run'] = (inputs, outputs) =>
    batcher.submit({ ...who, signal, inputs, outputs }).catch(error => {
      failed = true
      throw error
    })
  const { vectors, tokens, computeUs } = await embed(model, { tokenizer, run }, request)
  const reply = await embeddingsReply({ ...request, vectors, tokens })
  return { body: reply, jsonLength: null, rows: vectors.length, computeUs, tokens }
}
