/** The Open Inference Protocol at the edge: what it answers itself, and what it hands to the router. */
import type { Context } from 'hono'
import type { Call } from '#core/caller.ts'
import type { InferenceCall, InferenceReply } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { modelConfig, modelMetadata } from '#core/inference/metadata.ts'
import { INFERENCE_BODY_BYTES_MAX } from '#schemas/contracts/inference.ts'
import { DEADLINE_MS_DEFAULT, DEADLINE_MS_MAX } from '#schemas/serving.ts'
import { API_VERSION } from '#schemas/version.ts'
import { codingAskedBy, codingOf, decode, encode } from '../coding.ts'
import type { EdgeDeps, Http } from '../deps.ts'
import type { ModelDirectory } from '../models.ts'
import { type Answering, STICKY_HEADER } from '../rollouts/answering.ts'

/** What this server is, in the words of the protocol. */
export const SERVER = {
  name: 'galley',
  version: API_VERSION,
  extensions: [
    'binary_tensor_data',
    'classification',
    'model_configuration',
    'model_repository',
    'model_repository(unload_dependents)',
    'parameters',
    'schedule_policy',
    'statistics',
  ],
}
const NO_HEADERS: Record<string, string> = {}
const JSON_HEADER = 'inference-header-content-length'

export function server(): Response {
  return json(SERVER)
}

export function live(): Response {
  return json({ live: true })
}

export async function ready(deps: EdgeDeps): Promise<Response> {
  if (await deps.router.ready()) return json({ ready: true })
  throw new AppError('unavailable', { public: 'No runner is ready.', retryAfterS: 1 })
}

export async function metadata(models: ModelDirectory, c: Context, call: Call): Promise<Response> {
  const { model, version } = c.req.param() as { model: string; version?: string }
  const found = await models.resolve(call, model, version)
  return json(modelMetadata(model, [String(found.version)], found.signature))
}

export async function config(models: ModelDirectory, c: Context, call: Call): Promise<Response> {
  const { model, version } = c.req.param() as { model: string; version?: string }
  const found = await models.resolve(call, model, version)
  return json(modelConfig(found))
}

export async function modelReady(models: ModelDirectory, c: Context, call: Call) {
  const { model, version } = c.req.param() as { model: string; version?: string }
  await models.resolve(call, model, version)
  return json({ name: model, ready: true })
}

/** Hands the body on unread: the runner parses it, once. */
export async function infer(
  deps: EdgeDeps,
  answering: Answering,
  c: Context,
  call: Call,
): Promise<Response> {
  const { http, clock } = deps
  const name = c.req.param('model')!
  const version = c.req.param('version')
  const now = clock.now()
  const sticky = http.header(c, STICKY_HEADER)
  const chosen =
    answering.known(call, name, version, sticky) ??
    (await answering.choose(call, name, version, sticky))
  const body = await bodyOf(http, c, INFERENCE_BODY_BYTES_MAX)
  const reply = await answering.run(
    chosen,
    {
      call,
      body,
      jsonLength: jsonLengthOf(http.header(c, JSON_HEADER)),
      deadline: now + deadlineMsOf(http.header(c, 'galley-timeout-ms')),
      ...(chosen.model.serving?.cache && { fresh: freshOf(http.header(c, 'cache-control')) }),
    },
    http.departed(c),
  )
  const headers: Record<string, string> = {
    'content-type': reply.jsonLength === null ? 'application/json' : 'application/octet-stream',
    'galley-request-id': call.requestId,
    'galley-receipt': reply.receiptId,
    'galley-model-version': String(reply.model.version),
    'galley-model-digest': reply.model.digest,
  }
  Object.assign(headers, cacheHeaders(reply))
  if (reply.jsonLength !== null) headers[JSON_HEADER] = String(reply.jsonLength)
  return sent(http, c, headers, reply)
}

/** The body, out of whatever it is wrapped in. */
export async function bodyOf(http: Http, c: Context, bytesMax: number): Promise<Uint8Array> {
  const coding = codingOf(http.header(c, 'content-encoding'))
  const body = await http.body(c, bytesMax)
  if (!coding) return body
  const most = Math.min(bytesMax, http.bodyBytesMax)
  return decode(body, coding, most, size => http.hold(c, body.length + size))
}

/** The answer, in the coding that was asked for. */
export async function sent(
  http: Http,
  c: Context,
  headers: Record<string, string>,
  reply: InferenceReply,
): Promise<Response> {
  const asked = codingAskedBy(http.header(c, 'accept-encoding'))
  if (!asked) return http.reply(c, 200, headers, reply.body)
  headers['content-encoding'] = asked
  headers.vary = 'accept-encoding'
  return http.reply(c, 200, headers, await encode(reply.body, asked))
}

function jsonLengthOf(header: string | undefined): number | null {
  if (header === undefined) return null
  const length = Number(header)
  if (/^[0-9]{1,10}$/.test(header) && Number.isSafeInteger(length)) return length
  throw new AppError('invalid_input', {
    public: `Inference-Header-Content-Length must be a number of bytes; it is "${header}".`,
  })
}

export function deadlineMsOf(header: string | undefined): number {
  if (header === undefined) return DEADLINE_MS_DEFAULT
  const ms = Number(header)
  if (Number.isInteger(ms) && ms >= 1 && ms <= DEADLINE_MS_MAX) return ms
  throw new AppError('invalid_request', {
    public: `galley-timeout-ms must be from 1 to ${DEADLINE_MS_MAX}; it is "${header}".`,
  })
}

/** What became of an answer in the cache, where its model has one. */
export function cacheHeaders({ cache, ageS }: InferenceReply): Record<string, string> {
  if (cache === undefined) return NO_HEADERS
  return { 'cache-status': cache, ...(ageS !== undefined && { age: String(ageS) }) }
}

/** Of RFC 9111 the two directives that a caller has a use for; others ask for nothing that is not so. */
export function freshOf(header: string | undefined): InferenceCall['fresh'] {
  if (header === undefined) return undefined
  return (['no-store', 'no-cache'] as const).find(each => header.toLowerCase().includes(each))
}

function json(body: unknown): Response {
  return new Response(JSON.stringify(body), { headers: { 'content-type': 'application/json' } })
}
