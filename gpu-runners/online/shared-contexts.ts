/** What requests of one key to one version share, sent to a runner once and then named by number. */
import type { InferenceCall } from '#core/deps.ts'
import { type Channel, jsonPart } from '#platform/channel/channel.ts'
import { FRAME } from './frames.ts'

/** A few KB each on the runner. Forgetting some only means sending them again. */
export const CONTEXTS_MAX = 10_000

export class SharedContexts {
  readonly #channel: Channel
  #nextId = 1
  readonly #ids = new Map<string, number>()
  /** The same by the objects that name them: the edge's caches hand out the same ones for seconds. */
  #byObject = new WeakMap<object, WeakMap<object, number>>()

  constructor(channel: Channel) {
    this.#channel = channel
  }

  idOf(asked: InferenceCall): number {
    const { caller } = asked.call
    if (asked.kind) return this.#idByName(asked)
    const byModel = this.#byObject.get(caller)
    const known = byModel?.get(asked.model)
    if (known !== undefined) return known
    const id = this.#idByName(asked)
    if (byModel) byModel.set(asked.model, id)
    else this.#byObject.set(caller, new WeakMap([[asked.model, id]]))
    return id
  }

  #idByName({ call: { caller }, model, kind }: InferenceCall): number {
    // The digest alone would mix models that have the same bytes.
    const settings = model.serving ? JSON.stringify(model.serving) : ''
    const of = `${model.model} ${model.version} ${model.digest} ${settings}`
    const name = `${kind ?? ''} ${caller.keyId} ${of}`
    const known = this.#ids.get(name)
    if (known !== undefined) return known
    if (this.#ids.size >= CONTEXTS_MAX) {
      this.#ids.clear()
      this.#byObject = new WeakMap()
    }
    const id = this.#nextId++
    this.#ids.set(name, id)
    this.#channel.send(FRAME.context, id, [jsonPart({ caller, model, kind })])
    return id
  }
}
