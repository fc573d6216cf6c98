/** Embeddings in the form of OpenAI: the edge reads which model is meant, the runner does the rest. */
import type { Context } from 'hono'
import type { Call } from '#core/caller.ts'
import { modelNamed, notText, objectOf } from '#core/inference/embeddings/embeddings.ts'
import { EMBEDDINGS_BODY_BYTES_MAX } from '#schemas/contracts/openai/openai.ts'
import type { EdgeDeps } from '../deps.ts'
import type { ModelDirectory } from '../models.ts'
import { bodyOf, deadlineMsOf, sent } from './oip.ts'

export async function embeddings(
  deps: EdgeDeps,
  models: ModelDirectory,
  c: Context,
  call: Call,
): Promise<Response> {
  const { http, clock } = deps
  const body = await bodyOf(http, c, EMBEDDINGS_BODY_BYTES_MAX)
  const { name, version } = modelNamed(objectOf(body))
  const now = clock.now()
  const model =
    models.known(call.caller.tenantId, name, version, now) ??
    (await models.resolve(call, name, version))
  if (!model.signature.embedding) throw notText(model)
  const deadline = now + deadlineMsOf(http.header(c, 'galley-timeout-ms'))
  const asked = { call, model, body, form: 'embeddings', jsonLength: null, deadline } as const
  const reply = await deps.router.infer(asked, http.departed(c))
  const headers = {
    'content-type': 'application/json',
    'galley-request-id': call.requestId,
    'galley-receipt': reply.receiptId,
    'galley-model-version': String(model.version),
    'galley-model-digest': model.digest,
  }
  return sent(http, c, headers, reply)
}
