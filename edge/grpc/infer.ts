/** Inference over gRPC: one message, or one of a stream, asked as a request over HTTP is. */
import type { Call } from '#core/caller.ts'
import { DEADLINE_MS_DEFAULT, DEADLINE_MS_MAX } from '#schemas/serving.ts'
import { cacheHeaders, freshOf } from '../routes/oip.ts'
import type { Asking, GrpcEdge } from './edge.ts'
import { bodyOf, type InferRequest, type InferResponse, responseOf } from './messages.ts'

export async function infer(
  { deps, answering }: GrpcEdge,
  call: Call,
  asked: InferRequest,
  asking: Asking,
) {
  const { model_name: name = '', model_version: version } = asked
  const now = deps.clock.now()
  const wanted = [call, name, version || undefined, asking.sticky] as const
  const chosen = answering.known(...wanted) ?? (await answering.choose(...wanted))
  const latest =
    asking.deadline === Number.POSITIVE_INFINITY ? DEADLINE_MS_DEFAULT : DEADLINE_MS_MAX
  const deadline = Math.min(asking.deadline, now + latest)
  const { body, jsonLength } = bodyOf(asked)
  const fresh = freshOf(asking.cacheControl)
  const inference = { call, body, jsonLength, deadline, fresh }
  const reply = await answering.run(chosen, inference, asking.departure)
  const { version: made, digest } = reply.model
  return {
    message: responseOf(reply.body, reply.jsonLength ?? reply.body.length),
    headers: {
      'galley-receipt': reply.receiptId,
      'galley-model-version': String(made),
      'galley-model-digest': digest,
      ...cacheHeaders(reply),
    },
  }
}

/** A request of a stream that fails is told in the stream, which goes on. */
export async function inferInStream(
  edge: GrpcEdge,
  call: Call,
  asked: InferRequest,
  asking: Asking,
) {
  const { triton_enable_empty_final_response: isFinalAsked, ...parameters } = asked.parameters ?? {}
  const answered = await infer(edge, call, { ...asked, parameters }, asking)
  const reply: InferResponse = answered.message
  if (isFinalAsked?.bool_param) reply.parameters = { triton_final_response: { bool_param: true } }
  return { ...answered, message: { infer_response: reply } }
}
