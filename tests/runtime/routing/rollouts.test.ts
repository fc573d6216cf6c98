/** Rollouts: who is answered by which version, what is taken for a difference, and when a guard is broken. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { InferenceReply, Servable } from '#core/deps.ts'
import { encodeReply } from '#core/inference/oip-reply.ts'
import { outputsOf } from '#core/inference/outputs.ts'
import { openSigner, placeKey } from '#core/internal/signing.ts'
import { compare, momentsOf } from '#core/models/rollout/compare.ts'
import { addBuckets, bucketOf, percentile } from '#core/models/rollout/latency.ts'
import { emptyReport, emptySide, merged, verdictOn } from '#core/models/rollout/report.ts'
import { isChosen, stickyText } from '#core/models/rollout/sticky.ts'
import { RolloutFollower } from '#edge/rollouts/rollout-follower.ts'
import type { TenantId } from '#schemas/ids.ts'
import type { Guard, Report, RolloutPlan, Side } from '#schemas/rollout.ts'
import type { Signature } from '#schemas/signature.ts'

describe('who is in a canary', () => {
  const about = { tenantId: 't', keyId: 'k' }

  test('the same key is always answered by the same version, and stays when the share grows', () => {
    fc.assert(
      fc.property(fc.string(), fc.nat(100), fc.nat(100), (key, a, b) => {
        const text = stickyText('rol_1', { ...about, requestId: 'r1' }, key || 'x')
        expect(stickyText('rol_1', { ...about, requestId: 'r2' }, key || 'x')).toBe(text)
        if (isChosen(text, Math.min(a, b))) expect(isChosen(text, Math.max(a, b))).toBe(true)
        expect([isChosen(text, 0), isChosen(text, 100)]).toEqual([false, true])
      }),
    )
  })

  test.each([undefined, 'user'])('the share is what was asked for, with keys like %s', kind => {
    for (const share of [1, 10, 50]) {
      let chosen = 0
      for (let i = 0; i < 20_000; i++) {
        const key = kind && `${kind}-${i}`
        if (isChosen(stickyText('rol_1', { ...about, requestId: `req_${i}` }, key), share)) chosen++
      }
      // Four standard deviations.
      const spread = 4 * Math.sqrt(20_000 * (share / 100) * (1 - share / 100))
      expect(Math.abs(chosen - 200 * share)).toBeLessThan(spread)
    }
  })

  test('another rollout chooses others', () => {
    const both = Array.from({ length: 1_000 }, (_, i) =>
      ['rol_1', 'rol_2'].map(id =>
        isChosen(stickyText(id, { ...about, requestId: 'r' }, `user-${i}`), 50),
      ),
    )
    const same = both.filter(([a, b]) => a === b).length
    expect(Math.abs(same - 500)).toBeLessThan(100)
  })
})

const spec = (name: string, batch_axis: number | null, datatype = 'FP32') =>
  ({ name, datatype, shape: [-1, 2], batch_axis }) as Signature['outputs'][0]
const SIGNATURE: Signature = {
  inputs: [],
  outputs: [spec('y', 0), spec('state', 1), spec('total', null)],
  batching: 'invariant',
}
const EXACT = { absolute: 0, relative: 0 }
const output = (name: string, shape: number[], values: (number | string)[]) => ({
  name,
  shape,
  values,
})

describe('differences', () => {
  test('are counted by row, along whichever axis the rows lie', () => {
    const a = [output('y', [3, 2], [1, 2, 3, 4, 5, 6]), output('state', [2, 3], [1, 2, 3, 4, 5, 6])]
    const b = [output('y', [3, 2], [1, 2, 3, 9, 5, 6]), output('state', [2, 3], [1, 2, 3, 4, 5, 7])]
    expect(compare(a, b, SIGNATURE, EXACT)).toEqual({
      requests: 1,
      rows: 3,
      rows_differing: 2,
      tensors: {
        y: { max_abs_diff: 5, rows_differing: 1 },
        state: { max_abs_diff: 1, rows_differing: 1 },
      },
    })
  })

  test('within the tolerance are none; no number beside a number is one, and beside its like is none', () => {
    const a = [output('y', [4, 1], [100, Number.NaN, Number.POSITIVE_INFINITY, 0])]
    const b = [output('y', [4, 1], [100.5, Number.NaN, Number.POSITIVE_INFINITY, Number.NaN])]
    const near = { absolute: 0.1, relative: 0.004 }
    expect(compare(a, b, SIGNATURE, near)).toMatchObject({ rows: 4, rows_differing: 1 })
    expect(compare(a, b, SIGNATURE, EXACT)).toMatchObject({ rows_differing: 2 })
  })

  test('of a missing output, another shape or a value of all rows concern every row', () => {
    const a = [output('y', [3, 1], [1, 2, 3]), output('total', [], [6])]
    const all = (b: typeof a) => compare(a, b, SIGNATURE, EXACT).rows_differing
    expect(all([a[1]!])).toBe(3)
    expect(all([output('y', [3, 2], [1, 1, 2, 2, 3, 3]), a[1]!])).toBe(3)
    expect(all([a[0]!, output('total', [], [7])])).toBe(3)
    expect(all(a)).toBe(0)
  })

  test('are the same for JSON and for binary, in every type of numbers', () => {
    const types = [
      ['FP32', Float32Array.of(1.5, -2, Number.NaN, Number.POSITIVE_INFINITY)],
      ['FP64', Float64Array.of(0.1, 2, -3, 4)],
      ['INT64', BigInt64Array.of(1n, -2n, 3n, 4n)],
      ['UINT8', Uint8Array.of(1, 2, 3, 255)],
      ['BOOL', Uint8Array.of(1, 0, 0, 1)],
    ] as const
    for (const [datatype, data] of types) {
      const signature = { ...SIGNATURE, outputs: [spec('y', 0, datatype)] }
      const read = (binary: boolean) =>
        outputsOf(
          encodeReply({
            modelName: 'm',
            modelVersion: '1',
            id: 'x',
            signature,
            outputs: [{ name: 'y', datatype, shape: [2, 2], data }],
            requested: [{ name: 'y', index: 0, binary }],
          }),
        )
      expect(read(true)).toEqual(read(false))
      expect(read(true)[0]!.values).toEqual(Array.from(data as ArrayLike<number | bigint>, Number))
    }
    const bits = Uint16Array.of(0x3c00, 0xc000, 0x7c00, 0x0001)
    const body = Buffer.concat([
      Buffer.from(
        '{"outputs":[{"name":"h","datatype":"FP16","shape":[4],"parameters":{"binary_data_size":8}}]}',
      ),
      Buffer.from(bits.buffer),
    ])
    expect(outputsOf({ body, jsonLength: body.length - 8 })[0]!.values).toEqual([
      1,
      -2,
      Number.POSITIVE_INFINITY,
      2 ** -24,
    ])
  })
})

test('latencies of several edges add up, and a percentile is at most a fifth too high', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0.25, max: 60_000, noNaN: true }), { minLength: 1 }),
      all => {
        const half = Math.floor(all.length / 2)
        const counted = (list: number[]) => {
          const counts: number[] = []
          for (const ms of list) {
            const bucket = bucketOf(ms)
            while (counts.length <= bucket) counts.push(0)
            counts[bucket]!++
          }
          return counts
        }
        const found = percentile(
          addBuckets(counted(all.slice(0, half)), counted(all.slice(half))),
          0.95,
        )!
        const exact = all.toSorted((a, b) => a - b)[Math.ceil(all.length * 0.95) - 1]!
        expect(found).toBeGreaterThanOrEqual(exact * 0.999)
        expect(found).toBeLessThanOrEqual(exact * 1.201)
      },
    ),
  )
})

const GUARD: Guard = {
  requests_min: 100,
  errors_max: 0.02,
  latency_ratio_max: 2,
  shift_max: 0.5,
  rows_differing_max: 0.1,
}
/** A side on which so many requests took `ms` each, and all gave the values. */
function side(
  requests: number,
  more: { errors?: number; ms?: number; values?: number[] } = {},
): Side {
  const { errors = 0, ms = 1, values = [] } = more
  const latency: number[] = []
  latency[bucketOf(ms)] = requests - errors
  const moments = momentsOf({ name: 'y', shape: [], values })
  return {
    ...emptySide(),
    requests,
    errors,
    latency: Array.from(latency, count => count ?? 0),
    outputs: values.length > 0 ? { y: moments } : {},
  }
}
const report = (stable: Side, candidate: Side, more: Partial<Report> = {}): Report => ({
  ...emptyReport(),
  stable,
  candidate,
  ...more,
})

describe('a guard', () => {
  const spread = [-1, 1, -1, 1]
  test.each<[string, 'canary' | 'shadow', Report, RegExp | null]>([
    ['holds', 'canary', report(side(500), side(500)), null],
    ['waits for enough requests', 'canary', report(side(500), side(99, { errors: 50 })), null],
    [
      'waits for no more when all fail',
      'canary',
      report(side(0), side(10, { errors: 10 })),
      /all 10/,
    ],
    ['is broken by errors', 'canary', report(side(500), side(200, { errors: 6 })), /failed/],
    [
      'bears what both fail at',
      'canary',
      report(side(500, { errors: 15 }), side(200, { errors: 9 })),
      null,
    ],
    [
      'is broken by latency',
      'canary',
      report(side(500, { ms: 10 }), side(200, { ms: 40 })),
      /latency/,
    ],
    [
      'bears a fraction of a millisecond',
      'canary',
      report(side(500, { ms: 0.3 }), side(200, { ms: 1 })),
      null,
    ],
    [
      'is broken by shifted outputs',
      'canary',
      report(side(500, { values: spread }), side(200, { values: [0, 2, 0, 2] })),
      /"y" moved/,
    ],
    [
      'bears a small shift',
      'canary',
      report(side(500, { values: spread }), side(200, { values: [-0.7, 1.3, -0.7, 1.3] })),
      null,
    ],
    [
      'is broken by outputs that are no numbers',
      'canary',
      report(side(500, { values: spread }), side(200, { values: [1, Number.NaN] })),
      /no finite number/,
    ],
    [
      'of a shadow is broken by rows that differ',
      'shadow',
      report(side(500), side(200), {
        compared: { requests: 200, rows: 200, rows_differing: 30, tensors: {} },
      }),
      /rows differ/,
    ],
    [
      'of a shadow bears some',
      'shadow',
      report(side(500), side(200), {
        compared: { requests: 200, rows: 200, rows_differing: 20, tensors: {} },
      }),
      null,
    ],
  ])('%s (%s)', (_, mode, seen, reason) => {
    const verdict = verdictOn(mode, GUARD, seen)
    if (reason) expect(verdict).toMatch(reason)
    else expect(verdict).toBeNull()
  })

  test('that is off is never broken', () => {
    const off = {
      errors_max: null,
      latency_ratio_max: null,
      shift_max: null,
      rows_differing_max: null,
    }
    const bad = side(500, { errors: 400, ms: 900, values: [7, Number.NaN] })
    expect(
      verdictOn('canary', { ...GUARD, ...off }, report(side(500, { values: [1, 2] }), bad)),
    ).toBeNull()
  })

  test('judges the same whether the sums came at once or in parts', () => {
    const part = report(side(60, { values: spread }), side(60, { errors: 3 }))
    expect(verdictOn('canary', GUARD, part)).toBeNull()
    expect(verdictOn('canary', GUARD, merged(part, part))).toMatch(/failed/)
    expect(merged(part, emptyReport())).toEqual(part)
  })
})

test('an answer that was kept counts for neither version: its speed is the memory’s, not the model’s', async () => {
  const told: { seen: Report }[] = []
  const background: Promise<unknown>[] = []
  const follower = new RolloutFollower(
    {
      functions: {
        fetch: async request => {
          told.push((await request.json()) as { seen: Report })
          return Response.json({ running: true })
        },
      },
      signer: await openSigner(
        'edge',
        await placeKey('a secret of this test, as long as any', 'edge'),
      ),
      clock: { now: () => Date.now() },
      background: work => void background.push(work),
    },
    () => {},
  )
  const plan = { id: 'rol_1', candidate: { model: 'm' } } as unknown as RolloutPlan<Servable>
  const reply = { computeUs: 100 } as InferenceReply
  const stable = (given: InferenceReply) =>
    follower.answered('ten_1' as TenantId, plan, 'stable', { reply: given, ms: 5 })
  stable(reply)
  stable({ ...reply, computeUs: 0, ageS: 3 })
  await Promise.all(background)
  expect(told.map(({ seen }) => [seen.stable.requests, seen.stable.compute_us])).toEqual([[1, 100]])
})
