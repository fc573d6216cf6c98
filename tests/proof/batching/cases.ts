/** Cases by chance: who asks for what and when, who leaves, what fails, and how long each run takes. */
import type { BatchLimits } from '#gpu-runners/batcher/batcher.ts'
import { type Random, randomOf } from '../../chaos/random.ts'
import { type Ask, CRASH, type Kind, POISON } from './subject.ts'

export type Step = Ask | { do: 'wait'; ms: number; turns: number }
export type Case = {
  seed: number
  kind: Kind
  limits: BatchLimits
  steps: Step[]
  /** Turns of the event loop that the n-th run takes. */
  runTurns: number[]
  /** Runs under which the process ends by chance, from 1. */
  crashes: Set<number>
  /** From this run on the model has been unloaded. */
  goneFrom: number
}

const KINDS: Kind[] = ['invariant', 'invariant', 'shape_sensitive', 'unbatched', 'undeclared']
const TENANTS = ['a', 'b', 'c']

export function caseOf(seed: number): Case {
  const random = randomOf(seed)
  const kind = random.pick(KINDS)
  return {
    seed,
    kind,
    limits: {
      batchRowsMax: random.pick([2, 3, 4, 6, 8, 12]),
      batchBytesMax: random.next() < 0.2 ? random.int(100, 400) : 2 ** 30,
      queueRowsMax: random.next() < 0.2 ? random.int(4, 20) : 1_000,
      queueBytesMax: 2 ** 30,
    },
    steps: stepsOf(random, 40),
    runTurns: Array.from({ length: random.int(1, 6) }, () => random.int(0, 4)),
    crashes: new Set(random.next() < 0.3 ? some(random, 3, 12) : []),
    goneFrom: random.next() < 0.05 ? random.int(1, 12) : Number.POSITIVE_INFINITY,
  }
}

export function stepsOf(
  random: Random,
  stepsMax: number,
  change: (ask: Ask) => Ask = ask => ask,
): Step[] {
  // Cases in which all have much in common, and others in which nothing has.
  const variety = {
    widths: random.int(1, 2),
    ks: random.int(1, 2),
    outputs: random.pick([[0], [0, 6], [0, 1, 6, 9, 24]]),
  }
  const troubles = random.next()
  return Array.from({ length: random.int(1, stepsMax) }, () =>
    random.next() < 0.2
      ? { do: 'wait', ms: random.int(0, 3), turns: random.int(0, 3) }
      : change(askOf(random, variety, troubles)),
  )
}

type Variety = { widths: number; ks: number; outputs: number[] }

function askOf(random: Random, variety: Variety, troubles: number): Ask {
  const happens = (chance: number) => random.next() < chance * troubles
  return {
    do: 'ask',
    tenant: random.pick(TENANTS),
    weight: random.pick([1, 1, 2, 0.5]),
    priority: random.next() < 0.2 ? random.int(1, 4) : 0,
    rows: random.next() < 0.85 ? random.pick([0, 1, 1, 1, 2, 3]) : random.int(4, 30),
    width: random.int(1, variety.widths),
    k: random.int(1, variety.ks),
    outputs: random.pick(variety.outputs),
    fault: happens(0.2) ? random.pick([POISON, CRASH]) : 0,
    faultAt: random.int(0, 13),
    deadlineMs: happens(0.3) ? random.int(0, 5) : null,
    leavesAfter: happens(0.3) ? random.int(0, 12) : null,
  }
}

function some(random: Random, countMax: number, to: number): number[] {
  return Array.from({ length: random.int(1, countMax) }, () => random.int(1, to))
}
