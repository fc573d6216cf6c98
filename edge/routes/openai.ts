/** Embeddings in the form of OpenAI: the edge reads which model is meant, the runner does the rest. */
import type { Context } from 'hono'
import type { Call } from '#core/caller.ts'
import { modelNamed, notText, objectOf } from '#core/inference/embeddings/embeddings.ts'
import { EMBEDDINGS_BODY_BYTES_MAX } from '#schemas/contracts/openai/openai.ts'
import type { EdgeDeps } from '../deps.ts'
import { type Answering, STICKY_HEADER } from '../rollouts/answering.ts'
import { bodyOf, deadlineMsOf, sent } from './oip.ts'

export async function embeddings(
  deps: EdgeDeps,
  answering: Answering,
  c: Context,
  call: Call,
): Promise<Response> {
  const { http, clock } = deps
  const body = await bodyOf(http, c, EMBEDDINGS_BODY_BYTES_MAX)
  const { name, version } = modelNamed(objectOf(body))
  const now = clock.now()
  const sticky = http.header(c, STICKY_HEADER)
  const chosen =
    answering.known(call, name, version, sticky) ??
    (await answering.choose(call, name, version, sticky))
  if (!chosen.model.signature.embedding) throw notText(chosen.model)
  const deadline = now + deadlineMsOf(http.header(c, 'galley-timeout-ms'))
  const asked = { call, body, form: 'embeddings', jsonLength: null, deadline } as const
  const reply = await answering.run(chosen, asked, http.departed(c))
  const headers = {
    'content-type': 'application/json',
    'galley-request-id': call.requestId,
    'galley-receipt': reply.receiptId,
    'galley-model-version': String(reply.model.version),
    'galley-model-digest': reply.model.digest,
  }
  return sent(http, c, headers, reply)
}
