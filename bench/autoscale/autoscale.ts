/**
 * How many runners, decided by Galley's policy and by policies like KEDA's and Knative's, over the same simulated
 * pool and the same arrivals.
 *
 *   npm run bench -- autoscale [--quick] [--svg file]
 *
 * The work: three traces of arrivals (bench/autoscale/traces.ts), each policy's settings chosen on two seeds and
 * judged on three others; machines that start cold, are billed by the second and lost on spot
 * (bench/autoscale/pool.ts). `cost_vs_keda` is what ours cost by what KEDA's did, the worst of the traces;
 * `p99_vs_keda` the same of the time that one run in a hundred waits longer than. `--svg` draws two hours.
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { GRIDS, POLICIES, type Policy } from './grids.ts'
import { picture } from './picture.ts'
import { type Outcome, quantileOf, replay, together, valueUsd } from './replay.ts'
import { TRACES, type TraceName } from './traces.ts'
import { type Tuned, tune } from './tune.ts'

const { values } = parseArgs({
  args: process.argv.slice(3),
  options: { quick: { type: 'boolean', default: false }, svg: { type: 'string' } },
})
const SEEDS = values.quick
  ? { tuned: [1], judged: [101] }
  : { tuned: [1, 2], judged: [101, 102, 103] }
const names = Object.keys(TRACES) as TraceName[]

const judged = names.map(name => ({ name, ...judge(name) }))
if (values.svg)
  writeFileSync(
    values.svg,
    picture(TRACES.bursty(101), judged.find(({ name }) => name === 'bursty')!.tuned),
  )
const worst = (of: (ratios: Ratios) => number) =>
  Math.max(...judged.map(({ ratios }) => of(ratios)))
const line = {
  bench: 'autoscale',
  cost_vs_keda: worst(r => r.cost_vs_keda),
  p99_vs_keda: worst(r => r.p99_vs_keda),
  cost_vs_knative: worst(r => r.cost_vs_knative),
  p99_vs_knative: worst(r => r.p99_vs_knative),
  traces: Object.fromEntries(
    judged.map(({ name, ratios, outcomes, tuned }) => [
      name,
      {
        ...ratios,
        policies: Object.fromEntries(
          POLICIES.map(policy => [
            policy,
            { ...shown(outcomes[policy]), settings: tuned[policy].settings },
          ]),
        ),
      },
    ]),
  ),
}
process.stdout.write(`${JSON.stringify(line)}\n`)

type Ratios = Record<'cost_vs_keda' | 'p99_vs_keda' | 'cost_vs_knative' | 'p99_vs_knative', number>

function judge(name: TraceName): {
  tuned: Tuned
  outcomes: Record<Policy, Outcome>
  ratios: Ratios
} {
  const options = POLICIES.reduce((sum, policy) => sum + GRIDS[policy].length, 0)
  let tried = 0
  const tuned = tune(
    SEEDS.tuned.map(seed => TRACES[name](seed)),
    () => {
      if (++tried % 20 === 0)
        process.stdout.write(`${name}: ${tried} of ${options} settings tried\n`)
    },
  )
  const traces = SEEDS.judged.map(seed => TRACES[name](seed))
  const outcomes = Object.fromEntries(
    POLICIES.map(policy => [
      policy,
      together(traces.map(trace => replay(trace, tuned[policy].drive))),
    ]),
  ) as Record<Policy, Outcome>
  for (const policy of POLICIES) {
    const { usd, runs, p50_s, p99_s, missed, interruptions } = shown(outcomes[policy])
    process.stdout.write(
      `${name.padEnd(12)} ${policy.padEnd(8)} ${usd.toFixed(2).padStart(6)} USD · ${runs} runs wait p50 ${p50_s} s, p99 ${p99_s} s · ${missed} late · ${interruptions} interruptions\n`,
    )
  }
  return { tuned, outcomes, ratios: ratiosOf(outcomes) }
}

function ratiosOf({ galley, keda, knative }: Record<Policy, Outcome>): Ratios {
  const p99 = (outcome: Outcome) => quantileOf(outcome.waitsS, 0.99)
  return {
    cost_vs_keda: round(galley.usd / keda.usd),
    p99_vs_keda: round(p99(galley) / p99(keda)),
    cost_vs_knative: round(galley.usd / knative.usd),
    p99_vs_knative: round(p99(galley) / p99(knative)),
  }
}

function shown(outcome: Outcome) {
  const { usd, waitsS, missed, due, interruptions, kills, lost } = outcome
  return {
    usd: round(usd),
    runs: waitsS.length,
    p50_s: round(quantileOf(waitsS, 0.5), 10),
    p99_s: round(quantileOf(waitsS, 0.99), 10),
    mean_s: round(waitsS.reduce((sum, s) => sum + s, 0) / waitsS.length, 10),
    missed,
    due,
    interruptions,
    kills,
    lost,
    value_usd: round(valueUsd(outcome)),
  }
}

function round(value: number, per = 100): number {
  return Math.round(value * per) / per
}
