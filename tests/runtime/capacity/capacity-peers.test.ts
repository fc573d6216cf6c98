/** The policies that ours is compared with do what the documents of KEDA, Kubernetes and Knative say. */
import { describe, expect, test } from 'vitest'
import { HPA_DEFAULTS, Hpa } from '../../../bench/autoscale/hpa.ts'
import { KEDA_DEFAULTS, Keda } from '../../../bench/autoscale/keda.ts'
import { KNATIVE_DEFAULTS, Knative } from '../../../bench/autoscale/knative.ts'

describe('the horizontal autoscaler', () => {
  test.each([
    // current, metric, wanted: ceil(current × metric ÷ target), and none within a tenth of it; target 5.
    [4, 20, 4],
    [4, 21.9, 4],
    [4, 22.1, 5],
    [4, 18.1, 4],
    [10, 54, 10],
    [10, 56, 12],
    [10, 75, 15],
    // In 15 s at most twice as many, or four more where that is more.
    [1, 500, 5],
    [3, 500, 7],
    [4, 500, 8],
    [10, 500, 20],
    [40, 500, 64],
  ])('%i replicas and %d messages: %i', (current, metric, wanted) => {
    const hpa = new Hpa({ ...HPA_DEFAULTS, target: 5 })
    expect(hpa.sync(1_000, current, metric)).toBe(wanted)
  })

  test('it grows by its policy in each period, not in each look', () => {
    const hpa = new Hpa({ ...HPA_DEFAULTS, target: 5 })
    expect(hpa.sync(1_000, 1, 500)).toBe(5)
    expect(hpa.sync(1_005, 5, 500)).toBe(5)
    expect(hpa.sync(1_015, 5, 500)).toBe(10)
    expect(hpa.sync(1_030, 10, 500)).toBe(20)
  })

  test('it goes down to the most that was wanted within five minutes, and never to none', () => {
    const hpa = new Hpa({ ...HPA_DEFAULTS, target: 5 })
    expect(hpa.sync(0, 10, 50)).toBe(10)
    expect(hpa.sync(15, 10, 30)).toBe(10)
    expect(hpa.sync(290, 10, 5)).toBe(10)
    expect(hpa.sync(305, 10, 5)).toBe(6)
    expect(hpa.sync(620, 6, 0)).toBe(1)
  })

  test('with no replica it is off', () => {
    expect(new Hpa({ ...HPA_DEFAULTS, target: 5 }).sync(0, 0, 500)).toBe(0)
  })
})

describe('KEDA', () => {
  test.each([
    // replicas, length, after the look
    [0, 0, 0],
    [0, 1, 1],
    [0, 900, 1],
    [7, 0, 7],
    [7, 900, 7],
  ])('%i replicas and %i messages: %i', (current, length, wanted) => {
    expect(new Keda(KEDA_DEFAULTS).poll(0, current, length)).toBe(wanted)
  })

  test('the first one waits for more than the activation value', () => {
    const keda = new Keda({ ...KEDA_DEFAULTS, activationQueueLength: 10 })
    expect(keda.poll(0, 0, 10)).toBe(0)
    expect(keda.poll(30, 0, 11)).toBe(1)
  })

  test('the last one goes when nothing was there for the cool-down', () => {
    const keda = new Keda(KEDA_DEFAULTS)
    expect(keda.poll(0, 0, 3)).toBe(1)
    expect(keda.poll(270, 1, 0)).toBe(1)
    expect(keda.poll(290, 1, 1)).toBe(1)
    expect(keda.poll(560, 1, 0)).toBe(1)
    expect(keda.poll(590, 1, 0)).toBe(0)
  })

  test('its defaults are those of its documentation', () => {
    expect(KEDA_DEFAULTS).toMatchObject({
      queueLength: 5,
      activationQueueLength: 0,
      pollingIntervalS: 30,
      cooldownPeriodS: 300,
      scaleDownStabilizationS: 300,
    })
  })
})

describe('Knative', () => {
  const one = () =>
    new Knative({ ...KNATIVE_DEFAULTS, containerConcurrency: 10, targetUtilization: 1 })

  test.each([
    // ready, stable, panic, wanted
    [5, 50, 50, 5],
    [5, 51, 51, 6],
    // At most halved at a time.
    [10, 10, 10, 5],
    [5, 0, 0, 2],
    // The panic window wants twice what is ready: what it wants counts.
    [5, 50, 100, 10],
    [5, 50, 99, 10],
    [5, 50, 90, 5],
    [1, 0, 30, 3],
    // From none it is taken for one.
    [0, 0, 1_000, 64],
  ])('%i ready, concurrency %d and lately %d: %i', (ready, stable, panic, wanted) => {
    expect(one().tick(0, ready, stable, panic)).toBe(wanted)
  })

  test('while it panics it only grows, and for a whole stable window after', () => {
    const knative = one()
    expect(knative.tick(0, 2, 20, 80)).toBe(8)
    expect(knative.tick(2, 8, 40, 20)).toBe(8)
    expect(knative.tick(60, 8, 40, 20)).toBe(8)
    expect(knative.tick(62, 8, 40, 20)).toBe(4)
  })

  test('the last one stays for the grace period', () => {
    const knative = one()
    expect(knative.tick(0, 1, 0, 0)).toBe(1)
    expect(knative.tick(28, 1, 0, 0)).toBe(1)
    expect(knative.tick(30, 1, 0, 0)).toBe(0)
  })

  test('a delay keeps what was wanted most within it', () => {
    const knative = new Knative({ ...one().settings, scaleDownDelayS: 60 })
    expect(knative.tick(0, 5, 50, 50)).toBe(5)
    expect(knative.tick(30, 5, 30, 30)).toBe(5)
    expect(knative.tick(61, 5, 30, 30)).toBe(3)
  })

  test('its defaults are those of its documentation', () => {
    expect(KNATIVE_DEFAULTS).toMatchObject({
      containerConcurrency: 100,
      targetUtilization: 0.7,
      stableWindowS: 60,
      panicWindowPart: 0.1,
      panicThreshold: 2,
      maxScaleUpRate: 1000,
      maxScaleDownRate: 2,
      scaleToZeroGraceS: 30,
      scaleDownDelayS: 0,
    })
  })
})
