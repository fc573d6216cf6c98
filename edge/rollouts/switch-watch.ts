/**
 * What becomes of requests around a switch that this edge made: how many each version answered, how many
 * were dropped, and whether an answer named another version than the one that was asked.
 */
import type { InferenceReply, Servable } from '#core/deps.ts'
import type { switches } from '#core/models/models.ts'
import type { SwitchId, TenantId } from '#schemas/ids.ts'
import type { EdgeDeps } from '../deps.ts'
import { ask } from '../functions-client.ts'

type Needs = Pick<EdgeDeps, 'functions' | 'signer' | 'clock' | 'background'>

/** By then every edge knows of the switch, and what was in flight has been answered. */
const WATCH_MS = 10_000
/** The version's number stands at the beginning of a reply. */
const HEAD_BYTES = 300

type Watched = { tenantId: TenantId; model: string; alias: string }
export type Switched = Watched & { id: SwitchId; from: number | null; to: number | null }
type Watch = { switched: Switched; seen: switches.Seen; told: boolean }

export class SwitchWatch {
  readonly #deps: Needs
  readonly #watches = new Map<string, Watch[]>()
  readonly #decoder = new TextDecoder()

  constructor(deps: Needs) {
    this.#deps = deps
  }

  /** From now on; a later switch of the same alias ends it before its time. */
  begin(switched: Switched): void {
    const key = keyOf(switched)
    const watches = this.#watches.get(key) ?? []
    for (const other of watches.filter(({ switched: { alias } }) => alias === switched.alias)) {
      this.#end(key, other)
    }
    const seen = { answered_from: 0, answered_to: 0, dropped: 0, mixed: 0 }
    const watch: Watch = { switched, seen, told: false }
    this.#watches.set(key, [...(this.#watches.get(key) ?? []), watch])
    const over = new Promise(resolve => setTimeout(resolve, WATCH_MS))
    this.#deps.background(over.then(() => this.#end(key, watch)))
  }

  get isIdle(): boolean {
    return this.#watches.size === 0
  }

  answered(tenantId: TenantId, { model, version }: Servable, reply: InferenceReply): void {
    for (const { switched, seen } of this.#of(tenantId, model)) {
      if (version !== switched.from && version !== switched.to) continue
      seen[version === switched.to ? 'answered_to' : 'answered_from']++
      const named = this.#namedBy(reply)
      if (named !== null && named !== version) seen.mixed++
    }
  }

  failed(tenantId: TenantId, { model, version }: Servable): void {
    for (const { switched, seen } of this.#of(tenantId, model)) {
      if (version === switched.from || version === switched.to) seen.dropped++
    }
  }

  #of(tenantId: TenantId, model: string): readonly Watch[] {
    return this.#watches.get(keyOf({ tenantId, model })) ?? []
  }

  #namedBy({ body }: InferenceReply): number | null {
    const head = this.#decoder.decode(body.subarray(0, HEAD_BYTES))
    const named = /"model_version":"([0-9]+)"/.exec(head)
    return named && Number(named[1])
  }

  #end(key: string, watch: Watch): void {
    if (watch.told) return
    watch.told = true
    const left = (this.#watches.get(key) ?? []).filter(other => other !== watch)
    if (left.length > 0) this.#watches.set(key, left)
    else this.#watches.delete(key)
    const { tenantId, id } = watch.switched
    const told = { tenantId, id, seen: watch.seen }
    this.#deps.background(ask(this.#deps, '/internal/models/switch-observed', told))
  }
}

const keyOf = ({ tenantId, model }: { tenantId: TenantId; model: string }) => `${tenantId} ${model}`
