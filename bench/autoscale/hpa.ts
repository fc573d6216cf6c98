/**
 * Kubernetes' horizontal autoscaler as far as an external metric with an average value uses it: what KEDA
 * hands over to once there is a replica. Defaults and rules as documented for autoscaling/v2.
 */

export type HpaSettings = {
  /** Value of the metric that one replica is meant for. */
  target: number
  minReplicas: number
  maxReplicas: number
  /** Changes within this part of the target are none. */
  tolerance: number
  scaleDownStabilizationS: number
  /** Scaling up in one period: the larger of a part of the replicas and a number of them. */
  scaleUp: { percent: number; pods: number; periodS: number }
  scaleDown: { percent: number; periodS: number }
}

export const HPA_DEFAULTS: Omit<HpaSettings, 'target'> = {
  minReplicas: 1,
  maxReplicas: 64,
  tolerance: 0.1,
  scaleDownStabilizationS: 300,
  scaleUp: { percent: 100, pods: 4, periodS: 15 },
  scaleDown: { percent: 100, periodS: 15 },
}
/** Between two looks of the controller. */
export const HPA_SYNC_S = 15

export class Hpa {
  #recommended: { atS: number; replicas: number }[] = []
  /** Changes made, for the periods of the policies: positive up, negative down. */
  #changes: { atS: number; by: number }[] = []
  readonly settings: HpaSettings

  constructor(settings: HpaSettings) {
    this.settings = settings
  }

  /** Replicas wanted now that there are `current`; none there: scaling is off, as in Kubernetes. */
  sync(nowS: number, current: number, metric: number): number {
    if (current === 0) {
      this.#recommended = []
      this.#changes = []
      return 0
    }
    const { minReplicas, maxReplicas } = this.settings
    const raw = this.#recommendation(current, metric)
    const stable = this.#stabilized(nowS, current, raw)
    const limited = this.#limited(nowS, current, stable)
    const replicas = Math.min(maxReplicas, Math.max(minReplicas, limited))
    if (replicas !== current) this.#changes.push({ atS: nowS, by: replicas - current })
    return replicas
  }

  #recommendation(current: number, metric: number): number {
    const { target, tolerance } = this.settings
    const ratio = metric / (target * current)
    return Math.abs(1 - ratio) <= tolerance ? current : Math.ceil(metric / target)
  }

  /** Down only to the most that was recommended within the window; up at once. */
  #stabilized(nowS: number, current: number, raw: number): number {
    const sinceS = nowS - this.settings.scaleDownStabilizationS
    this.#recommended = this.#recommended.filter(({ atS }) => atS > sinceS)
    this.#recommended.push({ atS: nowS, replicas: raw })
    const most = Math.max(...this.#recommended.map(({ replicas }) => replicas))
    return raw < current ? Math.min(current, most) : raw
  }

  #limited(nowS: number, current: number, wanted: number): number {
    const { scaleUp, scaleDown } = this.settings
    if (wanted > current) {
      const began = current - this.#changed(nowS, scaleUp.periodS)
      const most = Math.max(began + scaleUp.pods, Math.ceil(began * (1 + scaleUp.percent / 100)))
      return Math.min(wanted, Math.max(current, most))
    }
    const began = current - this.#changed(nowS, scaleDown.periodS)
    const least = Math.floor(began * (1 - scaleDown.percent / 100))
    return Math.max(wanted, Math.min(current, least))
  }

  /** What has changed within the last period, to know how many there were when it began. */
  #changed(nowS: number, periodS: number): number {
    this.#changes = this.#changes.filter(({ atS }) => atS > nowS - 300)
    return this.#changes
      .filter(({ atS }) => atS > nowS - periodS)
      .reduce((sum, { by }) => sum + by, 0)
  }
}
