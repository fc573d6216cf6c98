/**
 * Knative's pod autoscaler, after its documentation: it averages the concurrency over a stable window and over
 * a panic window a tenth as long, and panics while the latter wants twice the ready pods.
 */

export type KnativeSettings = {
  /** Requests at the same time that a pod is meant for. */
  containerConcurrency: number
  targetUtilization: number
  stableWindowS: number
  panicWindowPart: number
  panicThreshold: number
  maxScaleUpRate: number
  maxScaleDownRate: number
  scaleToZeroGraceS: number
  scaleDownDelayS: number
  maxScale: number
}

export const KNATIVE_DEFAULTS: KnativeSettings = {
  containerConcurrency: 100,
  targetUtilization: 0.7,
  stableWindowS: 60,
  panicWindowPart: 0.1,
  panicThreshold: 2,
  maxScaleUpRate: 1000,
  maxScaleDownRate: 2,
  scaleToZeroGraceS: 30,
  scaleDownDelayS: 0,
  maxScale: 64,
}
/** Between two decisions. */
export const KNATIVE_TICK_S = 2

export class Knative {
  readonly settings: KnativeSettings
  #panicS: number | null = null
  #panicPods = 0
  #delayed: { atS: number; pods: number }[] = []
  #zeroSinceS: number | null = null

  constructor(settings: KnativeSettings) {
    this.settings = settings
  }

  /** `stable`, `panic`: mean concurrency over the two windows. `ready`: pods that answer now. */
  tick(nowS: number, ready: number, stable: number, panic: number): number {
    const { containerConcurrency, targetUtilization } = this.settings
    const target = containerConcurrency * targetUtilization
    const pods = Math.max(1, ready)
    const wanted = this.#panicking(nowS, pods, stable / target, panic / target)
    return this.#grace(nowS, this.#delay(nowS, Math.min(wanted, this.settings.maxScale)))
  }

  #panicking(nowS: number, pods: number, stable: number, panic: number): number {
    const { maxScaleUpRate, maxScaleDownRate, panicThreshold, stableWindowS } = this.settings
    const most = Math.ceil(maxScaleUpRate * pods)
    const least = Math.floor(pods / maxScaleDownRate)
    const within = (wanted: number) => Math.min(most, Math.max(least, Math.ceil(wanted)))
    if (Math.ceil(panic) / pods >= panicThreshold) this.#panicS = nowS
    else if (this.#panicS !== null && nowS - this.#panicS > stableWindowS) {
      this.#panicS = null
      this.#panicPods = 0
    }
    if (this.#panicS === null) return within(stable)
    // While it panics it only grows.
    this.#panicPods = Math.max(this.#panicPods, within(stable), within(panic))
    return this.#panicPods
  }

  /** The most that was wanted within the delay. */
  #delay(nowS: number, wanted: number): number {
    const { scaleDownDelayS } = this.settings
    if (scaleDownDelayS === 0) return wanted
    this.#delayed = this.#delayed.filter(({ atS }) => atS > nowS - scaleDownDelayS)
    this.#delayed.push({ atS: nowS, pods: wanted })
    return Math.max(...this.#delayed.map(({ pods }) => pods))
  }

  /** The last pod stays for the grace period. */
  #grace(nowS: number, wanted: number): number {
    if (wanted > 0) {
      this.#zeroSinceS = null
      return wanted
    }
    this.#zeroSinceS ??= nowS
    return nowS - this.#zeroSinceS >= this.settings.scaleToZeroGraceS ? 0 : 1
  }
}
