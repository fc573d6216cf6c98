/**
 * The router behind a cache of answers, for models whose tenant has opted in; for all others one property
 * is looked at. The same tensors under the same digest are answered from memory, with a receipt of its own
 * kind: an answer whose receipt cannot be kept is asked of the model instead.
 */
import type {
  Clock,
  Departure,
  InferenceCall,
  InferenceReply,
  InferenceRouter,
  Log,
} from '#core/deps.ts'
import { inFull } from '#core/error.ts'
import { canonicalBytes } from '#core/inference/canonical.ts'
import { decodeReply, decodeRequest, encodeReply, type InferRequest } from '#core/inference/oip.ts'
import { sha256Hex } from '#core/internal/signing.ts'
import { PRICE_BOOK, type Receipt, receiptId, receiptText } from '#core/usage/receipt.ts'
import type { CacheSetting } from '#schemas/serving.ts'
import type { EdgeMetrics } from '../deps.ts'
import { type KeptAnswer, KeptAnswers } from './kept-answers.ts'
import type { HitReceipts } from './receipts.ts'

export type CachedRouterDeps = {
  router: InferenceRouter
  receipts: HitReceipts
  clock: Clock
  log: Log
  /** Of all answers that this process keeps. */
  cacheBytesMax: number
  metrics: Pick<EdgeMetrics, 'registry'>
}
type Asked = { call: InferenceCall; request: InferRequest; owner: string; key: string }

export function cachedRouter(deps: CachedRouterDeps): InferenceRouter {
  const kept = new KeptAnswers(deps.cacheBytesMax)
  const count = measured(deps.metrics.registry, kept)

  async function infer(call: InferenceCall, departure: Departure | null, setting: CacheSetting) {
    if (call.fresh === 'no-store') {
      return { ...(await deps.router.infer(call, departure)), cache: 'galley; fwd=request' }
    }
    const asked = await askedOf(call)
    // Without rows nothing is computed that would be worth keeping; of classes the values are not known.
    const { rows, outputs } = asked.request
    if (rows === 0 || outputs.some(({ classes }) => classes !== undefined))
      return deps.router.infer(call, departure)
    if (call.fresh === undefined) {
      const nowMs = deps.clock.now()
      const found = kept.get(asked.owner, asked.key, { nowMs, ttlMs: setting.ttl_s * 1_000 })
      const hit = found && (await answered(deps, asked, found, setting, nowMs))
      if (hit) return hit
    }
    const reply = await deps.router.infer(call, departure)
    const isStored = kept.put(
      asked.owner,
      asked.key,
      answerOf(deps, asked, reply),
      setting.bytes_max,
    )
    const why = call.fresh === undefined ? 'miss' : 'request'
    return { ...reply, cache: `galley; fwd=${why}${isStored ? '; stored' : ''}` }
  }

  return {
    infer(call, departure) {
      const setting = call.model.serving?.cache
      // Texts are not looked into here: their answers are the runner's each time.
      if (setting && call.form === undefined && call.kind === undefined) {
        return infer(call, departure, setting).then(reply => {
          count(reply)
          return reply
        })
      }
      if (!setting && !kept.isEmpty) kept.forget(ownerOf(call))
      return deps.router.infer(call, departure)
    },
    load: call => deps.router.load(call),
    unload: call => deps.router.unload(call),
    statistics: call => deps.router.statistics(call),
    ready: () => deps.router.ready(),
  }
}

/** A tenant is a hard partition, and so is each of its models. */
const ownerOf = ({ call, model }: InferenceCall) => `${call.caller.tenantId} ${model.model}`

/** Throws `invalid_input`, as the runner would. */
async function askedOf(call: InferenceCall): Promise<Asked> {
  const { body, jsonLength, model } = call
  const request = decodeRequest({ body, jsonLength, signature: model.signature })
  const key = `${model.digest} ${await sha256Hex(canonicalBytes(request))}`
  return { call, request, owner: ownerOf(call), key }
}

function answerOf({ clock }: CachedRouterDeps, asked: Asked, reply: InferenceReply): KeptAnswer {
  const { call, request } = asked
  const { body, jsonLength } = reply
  const { signature } = call.model
  const outputs = decodeReply({ body, jsonLength, signature, requested: request.outputs })
  return { outputs, rows: request.rows, storedAt: clock.now() }
}

/** What was kept, in the form that this caller asks for. Null: it cannot be billed, and so is not given. */
async function answered(
  { receipts, log }: CachedRouterDeps,
  { call, request }: Asked,
  { outputs, rows, storedAt }: KeptAnswer,
  setting: CacheSetting,
  nowMs: number,
): Promise<InferenceReply | null> {
  const { model, body } = call
  const { caller, requestId: work } = call.call
  const encoded = encodeReply({
    modelName: model.model,
    modelVersion: String(model.version),
    id: request.id ?? work,
    signature: model.signature,
    outputs,
    requested: request.outputs,
  })
  const receipt: Omit<Receipt, 'requests'> = {
    id: receiptId(work, await sha256Hex(receiptText(caller.tenantId, work))),
    work,
    at: nowMs,
    rows,
    computeUs: 0,
    bytesIn: body.length,
    bytesOut: encoded.body.length,
  }
  const { tenantId, keyId, project, tags } = caller
  const { model: name, version, digest } = model
  const of = { kind: 'cached' as const, model: name, version, digest, priceBook: PRICE_BOOK }
  try {
    await receipts.append({ tenantId, keyId, project, tags, ...of }, receipt)
  } catch (error) {
    log.error('edge.hit_not_billed', { tenant: tenantId, model: name, error: inFull(error) })
    return null
  }
  const ageS = Math.floor((nowMs - storedAt) / 1_000)
  const cache = `galley; hit; ttl=${setting.ttl_s - ageS}`
  return { ...encoded, receiptId: receipt.id, computeUs: 0, cache, ageS }
}

/** What is kept is looked at when somebody reads; the answers are counted by what is called with them. */
function measured(registry: EdgeMetrics['registry'], kept: KeptAnswers) {
  const name = (what: string) => `galley_response_cache_${what}`
  const about = 'Inferences of models whose answers are kept, by what became of them.'
  const answers = registry.counter(name('total'), about, ['outcome'])
  const bytes = registry.gauge(name('bytes'), 'Of answers that are kept.').of()
  const entries = registry.gauge(name('entries'), 'Answers that are kept.').of()
  const evicted = registry.counter(name('evicted_total'), 'Answers that had to make room.').of()
  let told = 0
  registry.onRead(() => {
    const { size } = kept
    bytes.set(size.bytes)
    entries.set(size.entries)
    evicted.add(size.evicted - told)
    told = size.evicted
  })
  return ({ cache }: InferenceReply) => {
    if (cache === undefined) return
    const passed = cache.includes('fwd=request') ? 'passed' : 'miss'
    answers.of(cache.includes('; hit') ? 'hit' : passed).add()
  }
}
