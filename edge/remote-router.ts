/** The router over HTTPS: one signed request per inference, the caller's bytes as they came. */
import { joined } from '#core/bytes.ts'
import type { Call } from '#core/caller.ts'
import type {
  Clock,
  Departure,
  InferenceCall,
  InferenceReply,
  InferenceRouter,
  Servable,
} from '#core/deps.ts'
import { AppError, fromProblem } from '#core/error.ts'
import { type Claims, type Signer, sha256Hex, TOKEN_HEADER } from '#core/internal/signing.ts'
import type { Statistics } from '#core/router.ts'
import {
  COMPUTE_HEADER,
  JSON_LENGTH_HEADER,
  LOAD_PATH,
  type LoadBody,
  MODEL_WANTED_HEADER,
  pathOf,
  READY_PATH,
  RECEIPT_HEADER,
  STATISTICS_PATH,
  UNLOAD_PATH,
} from '#platform/router/wire.ts'

/** The router keeps deadlines; this is for one that hangs. */
const GRACE_MS = 2_000
const READY_MS_MAX = 2_000
const UNLOAD_MS_MAX = 10_000
const STATISTICS_MS_MAX = 5_000

export type RemoteRouterDeps = {
  fetch(request: Request): Promise<Response>
  /** Without a slash at the end. */
  origin: string
  signer: Signer
  clock: Clock
}
type Description = { bytes: Uint8Array; hash: string }

export function remoteRouter(deps: RemoteRouterDeps): InferenceRouter {
  // By the object that the model directory keeps: described and hashed once per isolate.
  const descriptions = new WeakMap<Servable, Description>()

  async function describe(model: Servable): Promise<Description> {
    const known = descriptions.get(model)
    if (known) return known
    const bytes = new TextEncoder().encode(JSON.stringify(model))
    const description = { bytes, hash: await sha256Hex(bytes) }
    descriptions.set(model, description)
    return description
  }

  async function post(
    asked: InferenceCall,
    signal: AbortSignal,
    model: Description,
    withIt: boolean,
  ) {
    const { deadline, jsonLength, form, call, kind } = asked
    const modelBytes = withIt ? model.bytes.length : 0
    const target = { modelHash: model.hash, deadline, jsonLength, form, modelBytes, kind }
    const path = pathOf(target)
    const body = withIt ? joined([model.bytes, asked.body]) : asked.body
    return send(deps, { call, method: 'POST', path, body: await sha256Hex(body) }, signal, body)
  }

  async function question<T>(call: Call, path: string, asked: object, ms: number): Promise<T> {
    const body = new TextEncoder().encode(JSON.stringify(asked))
    const claims = { call, method: 'POST', path, body: await sha256Hex(body) }
    const response = await send(deps, claims, AbortSignal.timeout(ms + GRACE_MS), body)
    if (!response.ok) throw await faultOf(response)
    return (await response.json()) as T
  }

  return {
    async infer(asked, departed) {
      const model = await describe(asked.model)
      const late = AbortSignal.timeout(Math.max(0, asked.deadline - deps.clock.now()) + GRACE_MS)
      const signal = departed ? AbortSignal.any([signalOf(departed), late]) : late
      let response = await post(asked, signal, model, false)
      if (response.headers.has(MODEL_WANTED_HEADER)) {
        await response.body?.cancel()
        response = await post(asked, signal, model, true)
      }
      if (!response.ok) throw await faultOf(response)
      return readReply(response, signal)
    },
    async load({ call, ...asked }) {
      const leftMs = Math.max(0, asked.deadline - deps.clock.now())
      return await question<{ runners: number }>(call, LOAD_PATH, asked satisfies LoadBody, leftMs)
    },
    async unload({ call, ...asked }) {
      await question(call, UNLOAD_PATH, asked, UNLOAD_MS_MAX)
    },
    statistics: ({ call, ...asked }) =>
      question<Statistics>(call, STATISTICS_PATH, asked, STATISTICS_MS_MAX),
    async ready() {
      const claims = { call: null, method: 'GET', path: READY_PATH, body: await EMPTY }
      const signal = AbortSignal.timeout(READY_MS_MAX)
      const response = await send(deps, claims, signal).catch(() => null)
      await response?.body?.cancel()
      return response?.ok === true
    },
  }
}

function signalOf(departure: Departure): AbortSignal {
  if (departure instanceof AbortSignal) return departure
  const left = new AbortController()
  departure.addEventListener('abort', () => left.abort(), { once: true })
  return left.signal
}

const EMPTY = sha256Hex('')

async function send(
  deps: RemoteRouterDeps,
  claims: Claims,
  signal: AbortSignal,
  body?: Uint8Array,
): Promise<Response> {
  const token = await deps.signer.sign(claims, deps.clock.now())
  const { method, path } = claims
  try {
    return await deps.fetch(
      new Request(deps.origin + path, {
        method,
        headers: { [TOKEN_HEADER]: token },
        body: body as Uint8Array<ArrayBuffer> | undefined,
        signal,
      }),
    )
  } catch (cause) {
    throw unreachable(signal, cause)
  }
}

async function readReply(response: Response, signal: AbortSignal): Promise<InferenceReply> {
  const json = response.headers.get(JSON_LENGTH_HEADER)
  try {
    return {
      body: new Uint8Array(await response.arrayBuffer()),
      jsonLength: json === null ? null : Number(json),
      receiptId: response.headers.get(RECEIPT_HEADER) ?? '',
      computeUs: Number(response.headers.get(COMPUTE_HEADER)),
    }
  } catch (cause) {
    throw unreachable(signal, cause)
  }
}

function unreachable(signal: AbortSignal, cause: unknown): AppError {
  if (!signal.aborted) {
    return new AppError('unavailable', {
      public: 'The model cannot be reached now; try again in a moment.',
      internal: `router: ${String(cause)}`,
      retryable: true,
      retryAfterS: 1,
      cause,
    })
  }
  const isLate = (signal.reason as Error | undefined)?.name === 'TimeoutError'
  return new AppError(isLate ? 'deadline_exceeded' : 'canceled', { cause })
}

async function faultOf(response: Response): Promise<AppError> {
  const document = await response.json().catch(() => ({}))
  const fault = fromProblem(document, response.headers.get('retry-after'))
  const { code, public: text, errors, retryAfterS } = fault
  return new AppError(code, {
    public: text,
    errors,
    internal: `router answered ${response.status} ${code}: ${text}`,
    retryable: response.status === 503,
    retryAfterS,
  })
}
