/**
 * KEDA's scaler of an SQS queue, after its documentation: it looks every polling interval, brings the first
 * replica when the length passes the activation value, takes the last one away when it has not for the
 * cool-down, and leaves what is between to the horizontal autoscaler with `queueLength` messages a replica.
 * Messages under way count too (`scaleOnInFlight`, on by default).
 */
import { HPA_DEFAULTS, HPA_SYNC_S, Hpa } from './hpa.ts'

export type KedaSettings = {
  queueLength: number
  activationQueueLength: number
  pollingIntervalS: number
  cooldownPeriodS: number
  scaleDownStabilizationS: number
  maxReplicas: number
}

export const KEDA_DEFAULTS: KedaSettings = {
  queueLength: 5,
  activationQueueLength: 0,
  pollingIntervalS: 30,
  cooldownPeriodS: 300,
  scaleDownStabilizationS: 300,
  maxReplicas: 64,
}

export class Keda {
  readonly settings: KedaSettings
  readonly #hpa: Hpa
  #activeS: number | null = null

  constructor(settings: KedaSettings) {
    this.settings = settings
    const { queueLength, scaleDownStabilizationS, maxReplicas } = settings
    this.#hpa = new Hpa({
      ...HPA_DEFAULTS,
      target: queueLength,
      scaleDownStabilizationS,
      maxReplicas,
    })
  }

  /** KEDA's own look: from none to one, and from some to none. */
  poll(nowS: number, current: number, length: number): number {
    if (length > this.settings.activationQueueLength) {
      this.#activeS = nowS
      return Math.max(1, current)
    }
    if (current === 0) return 0
    // It has not been active since it was started: the cool-down begins now.
    this.#activeS ??= nowS
    return nowS - this.#activeS >= this.settings.cooldownPeriodS ? 0 : current
  }

  /** The autoscaler's look, every 15 s. */
  sync(nowS: number, current: number, length: number): number {
    return this.#hpa.sync(nowS, current, length)
  }
}

export { HPA_SYNC_S }
