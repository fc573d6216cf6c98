/**
 * `npm run chaos`: the product at work while everything in it is killed, and its books afterwards.
 * Ends with one line of JSON; exits with 1 when a promise did not hold.
 */
import { attack, type Outcome } from './attack.ts'
import { readFlags } from './flags.ts'
import { ingestScenario } from './ingest/ingest.ts'
import { PLACES } from './kills.ts'
import { type Fault, PLANTED, plant } from './planted.ts'
import { randomOf } from './random.ts'
import { plan } from './rounds.ts'
import { spotScenario } from './spot/spot.ts'
import { switchScenario } from './switch/switch.ts'

/** What a full run must have done to count. */
const FULL_ROUNDS = 20
const ACKNOWLEDGED_MIN = 10_000
const KILLS_MIN = {
  ...Object.fromEntries(PLACES.map(place => [place, 3])),
  supervisor: 3,
  everything: 1,
  power: 1,
  zombie: 1,
}
/** A planted fault may make a wait for what never comes. */
const PLANTED_PATIENCE_MS = 25_000

const flags = readFlags(process.argv.slice(2))
const { seed, edge, keep } = flags
if (flags.scenario === 'ingest') process.exit((await ingestScenario({ ...flags, print })) ? 0 : 1)
if (flags.scenario === 'switch') {
  const planted = flags.switchPlanted
  process.exit((await switchScenario({ ...flags, planted, print })) ? 0 : 1)
}
if (flags.scenario === 'spot') {
  const planted = flags.spotPlanted
  process.exit((await spotScenario({ ...flags, planted, print })) ? 0 : 1)
}
const rounds = flags.only
  ? Array.from({ length: flags.rounds }, () => flags.only!)
  : plan(flags.rounds, randomOf(seed))
print(`chaos: ${flags.rounds} rounds on the ${edge} edge, seed ${seed}`)

const outcome = flags.rounds > 0 ? await attack({ edge, seed, rounds, keep, print }) : null
const caught: Fault[] = []
for (const fault of flags.planted) if (await sees(fault)) caught.push(fault)
const ok = (outcome === null || holds(outcome)) && caught.length === flags.planted.length
print(JSON.stringify(summary(outcome)))
process.exit(ok ? 0 : 1)

/** Whether the same checks see a product with this fault. */
async function sees(fault: Fault): Promise<boolean> {
  const { rounds, isSeen } = PLANTED[fault]
  const copy = plant(fault)
  try {
    print(`planted: ${fault}`)
    const { root } = copy
    const patienceMs = PLANTED_PATIENCE_MS
    const found = await attack({ root, edge, seed, rounds, keep, patienceMs, print })
    print(isSeen(found) ? `${fault} was seen` : `${fault} was NOT seen`)
    return isSeen(found)
  } finally {
    copy.remove()
  }
}

function holds(outcome: Outcome): boolean {
  const { lost, unbilled, billedTwice, staleResults, leftRunning } = outcome
  const isClean = [lost, unbilled, billedTwice, staleResults, leftRunning].every(n => n === 0)
  if (!isClean || outcome.completed + outcome.receiptsLostInLast50Ms !== outcome.acknowledged)
    return false
  if (flags.rounds < FULL_ROUNDS || flags.only) return true
  const few = Object.entries(KILLS_MIN).filter(([kind, min]) => (killsOf(outcome)[kind] ?? 0) < min)
  for (const [kind, min] of few) print(`${kind} was killed fewer than ${min} times`)
  return few.length === 0 && outcome.acknowledged >= ACKNOWLEDGED_MIN
}

function killsOf(outcome: Outcome): Record<string, number> {
  return Object.fromEntries(
    Object.keys(KILLS_MIN).map(kind => [kind, outcome.kills.get(kind as 'edge') ?? 0]),
  )
}

function summary(outcome: Outcome | null) {
  return {
    chaos: 'kill',
    rounds: flags.rounds,
    ...(outcome && {
      acknowledged: outcome.acknowledged,
      completed: outcome.completed,
      lost: outcome.lost,
      unbilled: outcome.unbilled,
      billed_twice: outcome.billedTwice,
      kills: killsOf(outcome),
    }),
    planted: flags.planted.length,
    caught: caught.length,
    ...(outcome && {
      stale_results: outcome.staleResults,
      left_running: outcome.leftRunning,
      receipts_lost_in_last_50_ms: outcome.receiptsLostInLast50Ms,
      unsynced_taken: outcome.taken,
      predictions: Object.fromEntries(outcome.book.statuses),
    }),
    seed,
    edge,
  }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
