/** What machines cost and how they fail. Sources stand in docs/design/capacity.md. */
export const WORLD = {
  usdPerHour: { spot: 0.07, on_demand: 0.1785 },
  interruptionsPerHour: 1 / 3,
  noticedPart: 0.8,
  noticeS: 120,
  leaseS: 15,
  cold: { medianS: 70, sigma: 0.4 },
  billedLeastS: 60,
  ceiling: 64,
  /** A step's prediction is off by a factor: log-normal with this σ. */
  predictionSigma: 0.3,
  waitUsdPerHour: 0.1,
  missedUsd: 0.5,
}
