/**
 * From a model's name to an answer: which version is meant, which of two answers while a rollout runs, and
 * what is to be noted of it. Whoever has a model run for a caller asks here.
 */
import type { Call } from '#core/caller.ts'
import type { Departure, InferenceCall, InferenceReply, Servable } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { Served } from '#core/models/models.ts'
import { isChosen, stickyText } from '#core/models/rollout/rollout.ts'
import type { RequestId } from '#schemas/ids.ts'
import type { RolloutPlan } from '#schemas/rollout.ts'
import type { EdgeDeps } from '../deps.ts'
import type { ModelDirectory } from '../models.ts'
import { RolloutFollower } from './rollout-follower.ts'
import { SwitchWatch } from './switch-watch.ts'

/** Callers who give the same key here are answered by the same version for as long as a canary runs. */
export const STICKY_HEADER = 'galley-sticky-key'
/** Work of a kind of its own, which no cache answers. */
const SHADOW = { kind: 'shadow' } as const
/** Shadows under way at one edge; more would take the runners from those who wait for an answer. */
const SHADOWS_MAX = 32
const SHADOW_MS_MAX = 30_000

export type Chosen = {
  /** The version that answers, unless it fails as a canary. */
  model: Servable
  stable: Servable
  rollout: RolloutPlan<Servable> | null
}
type Needs = Pick<EdgeDeps, 'router' | 'functions' | 'signer' | 'clock' | 'background'>
export type Asked = Omit<InferenceCall, 'model'>
/** The answer, with the version that gave it. */
export type Answered = InferenceReply & { model: Servable }

export class Answering {
  readonly #deps: Needs
  readonly #models: ModelDirectory
  readonly watch: SwitchWatch
  readonly #follower: RolloutFollower
  #shadows = 0

  constructor(deps: Needs, models: ModelDirectory) {
    this.#deps = deps
    this.#models = models
    this.watch = new SwitchWatch(deps)
    this.#follower = new RolloutFollower(deps, (tenantId, model) => models.forget(tenantId, model))
  }

  /** Without a promise where the name is known: the way of nearly every request. */
  known(call: Call, name: string, version: string | undefined, sticky: string | undefined) {
    const { tenantId } = call.caller
    const served = this.#models.knownServed(tenantId, name, version, this.#deps.clock.now())
    return served && chosenOf(served, call, sticky)
  }

  /** Throws as `ModelDirectory.resolve` does. */
  async choose(
    call: Call,
    name: string,
    version: string | undefined,
    sticky: string | undefined,
  ): Promise<Chosen> {
    return chosenOf(await this.#models.served(call, name, version), call, sticky)
  }

  async run(chosen: Chosen, asked: Asked, departure: Departure | null): Promise<Answered> {
    const { rollout, model } = chosen
    if (!rollout && this.watch.isIdle) {
      const reply = await this.#deps.router.infer({ ...asked, model }, departure)
      return { ...reply, model }
    }
    if (rollout?.mode === 'canary') return this.#canary(chosen, rollout, asked, departure)
    const stable = await this.#timed(model, asked, departure, rollout)
    if (rollout && isShadowed(rollout, asked.call)) this.#shadow(rollout, asked, stable)
    return stable
  }

  /** A candidate that fails costs its caller nothing but time: the stable version answers. */
  async #canary(
    { model, stable }: Chosen,
    rollout: RolloutPlan<Servable>,
    asked: Asked,
    departure: Departure | null,
  ): Promise<Answered> {
    if (model === stable) return this.#timed(model, asked, departure, rollout)
    const { tenantId } = asked.call.caller
    const began = performance.now()
    let fault: unknown
    try {
      const reply = await this.#infer(model, asked, departure)
      const ms = performance.now() - began
      this.#follower.answered(tenantId, rollout, 'candidate', { reply, ms })
      return reply
    } catch (error) {
      fault = error
    }
    const isLeft = fault instanceof AppError && fault.code === 'canceled'
    if (isLeft) throw fault
    if (asked.deadline <= this.#deps.clock.now()) {
      this.#follower.failed(tenantId, rollout, 'candidate')
      throw fault
    }
    try {
      const reply = await this.#infer(stable, asked, departure)
      // What the stable version takes, the candidate should have taken.
      this.#follower.failed(tenantId, rollout, 'candidate')
      return reply
    } catch (error) {
      if (isOurs(fault)) this.#follower.failed(tenantId, rollout, 'candidate')
      throw error
    }
  }

  async #timed(
    model: Servable,
    asked: Asked,
    departure: Departure | null,
    rollout: RolloutPlan<Servable> | null,
  ): Promise<Answered> {
    const { tenantId } = asked.call.caller
    const began = performance.now()
    try {
      const reply = await this.#infer(model, asked, departure)
      const ms = performance.now() - began
      if (rollout) this.#follower.answered(tenantId, rollout, 'stable', { reply, ms })
      return reply
    } catch (error) {
      if (rollout && isOurs(error)) this.#follower.failed(tenantId, rollout, 'stable')
      throw error
    }
  }

  /** In the background, with a receipt of its own kind; its answer reaches nobody. */
  #shadow(rollout: RolloutPlan<Servable>, asked: Asked, stable: Answered): void {
    const { tenantId } = asked.call.caller
    if (this.#shadows >= SHADOWS_MAX) {
      this.#follower.skipped(tenantId, rollout)
      return
    }
    this.#shadows++
    const requestId = `shd_${asked.call.requestId.slice(4)}` as RequestId
    const call = { ...asked.call, requestId }
    const deadline = this.#deps.clock.now() + SHADOW_MS_MAX
    const shadow = { ...asked, call, deadline, model: rollout.candidate, ...SHADOW }
    const began = performance.now()
    const work = this.#deps.router.infer(shadow, null).then(
      reply => {
        const ms = performance.now() - began
        this.#follower.answered(tenantId, rollout, 'candidate', { reply, ms })
        this.#follower.compared(tenantId, rollout, stable, reply)
      },
      () => this.#follower.failed(tenantId, rollout, 'candidate'),
    )
    this.#deps.background(work.finally(() => this.#shadows--))
  }

  async #infer(model: Servable, asked: Asked, departure: Departure | null): Promise<Answered> {
    const { tenantId } = asked.call.caller
    try {
      const reply = await this.#deps.router.infer({ ...asked, model }, departure)
      this.watch.answered(tenantId, model, reply)
      return { ...reply, model }
    } catch (error) {
      if (isOurs(error)) this.watch.failed(tenantId, model)
      throw error
    }
  }
}

/** Of what names one version for good: a rollout does not concern it, a switch counts it. */
export function withoutRollout(model: Servable): Chosen {
  return { model, stable: model, rollout: null }
}

function chosenOf({ model, rollout }: Served, call: Call, sticky: string | undefined): Chosen {
  if (rollout?.mode !== 'canary') return { model, stable: model, rollout }
  const { caller, requestId } = call
  const about = { tenantId: caller.tenantId, keyId: caller.keyId, requestId }
  const isCandidate = isChosen(stickyText(rollout.id, about, sticky), rollout.percent)
  return { model: isCandidate ? rollout.candidate : model, stable: model, rollout }
}

function isShadowed({ id, percent }: RolloutPlan<Servable>, { requestId }: Call): boolean {
  return isChosen(`${id}\n${requestId}`, percent)
}

/** Not what the caller did wrong. */
function isOurs(error: unknown): boolean {
  return !(error instanceof AppError) || error.status >= 500
}
