/** What a runner refused holds at the router for whoever asks next: only what it would refuse again. */
import { expect, test } from 'vitest'
import { AppError } from '#core/error.ts'
import { Refusals } from '#gpu-runners/routing/refusals.ts'
import { type Random, randomOf } from '../../chaos/random.ts'
import { type Arrival, simulate } from './simulation.ts'

const WEIGHTS = { a: 1, b: 1, c: 4 }

/** Of three tenants, with deadlines and without, urgent and not, of one row or some: more than can be done. */
function flood(random: Random): Arrival[] {
  let atMs = 0
  return Array.from({ length: 1_000 }, () => {
    atMs += random.next() / 2
    const tenant = random.pick(['a', 'b', 'c'] as const)
    return {
      tenant,
      weight: WEIGHTS[tenant],
      atMs,
      rows: random.pick([1, 1, 1, 4]),
      withinMs: random.pick([20, 50, 80, 20 + Math.floor(60 * random.next()), undefined]),
      priority: random.pick([undefined, undefined, undefined, 1, 5]),
    }
  })
}

/** What the router would refuse by itself in some floods, and how much of that the runner would have taken. */
async function refusedAndTaken(random: Random, queueRowsMax: number) {
  let refused = 0
  let taken = 0
  for (let round = 0; round < 30; round++) {
    const doubtful = new Set<Arrival>()
    const a = random.pick([0.1, 0.6, 1, 2])
    const b = random.pick([0.2, 2, 6, 10])
    const { served } = await simulate({
      arrivals: flood(random),
      runMs: rows => a * rows + b,
      limits: { queueRowsMax },
      onDoor: arrival => doubtful.add(arrival),
    })
    refused += doubtful.size
    for (const { arrival, outcome } of served) {
      if (doubtful.has(arrival) && outcome !== 'overloaded') taken++
    }
  }
  return { refused, taken }
}

test('the router refuses by itself who has too little time for the runner, whatever deadlines others had, but for runs shorter than foreseen', async () => {
  const { refused, taken } = await refusedAndTaken(randomOf(17), 32_768)
  expect(refused).toBeGreaterThan(1_000)
  expect(taken).toBeLessThan(refused / 1_000)
})

test('the router refuses by itself for want of room, but for what leaves a queue because its time has passed', async () => {
  const { refused, taken } = await refusedAndTaken(randomOf(18), 40)
  expect(refused).toBeGreaterThan(1_000)
  expect(taken).toBeLessThan(refused / 100)
})

test('a refusal holds for its caller, for no more time than it had, until it ends, and never for more urgent ones', () => {
  const refusals = new Refusals()
  const error = new AppError('overloaded')
  const asked = (deadline: number, body = '{}', jsonLength: number | null = null) => {
    return { deadline, body: Buffer.from(body), jsonLength }
  }
  refusals.keep(1, { untilMs: 1_010, forMs: 10, doneMs: 1_060, error }, 1_000)
  expect(refusals.of(1, asked(1_050), 1_000)).toBe(error)
  expect(refusals.of(2, asked(1_050), 1_000)).toBe(null)
  expect(refusals.of(1, asked(1_060), 1_000)).toBe(null)
  expect(refusals.of(1, asked(1_050, '{"parameters":{"priority":1}}'), 1_000)).toBe(null)
  // Not the word in a tensor's bytes.
  expect(refusals.of(1, asked(1_050, '{}"priority"', 2), 1_000)).toBe(error)
  expect(refusals.of(1, asked(1_050), 1_010)).toBe(null)
  expect(refusals.of(1, asked(1_050), 1_009)).toBe(null)
})

test('a runner whose clock is ahead refuses for no longer than it foresees, one whose is behind for less', () => {
  const refusals = new Refusals()
  const error = new AppError('overloaded')
  const asked = { deadline: 1_050, body: Buffer.from('{}'), jsonLength: null }
  const kept = { forMs: 10, doneMs: 90_000, error }
  refusals.keep(1, { ...kept, untilMs: 61_010 }, 1_000)
  expect(refusals.of(1, asked, 1_009)).toBe(error)
  expect(refusals.of(1, asked, 1_010)).toBe(null)
  refusals.keep(1, { ...kept, untilMs: 900 }, 1_000)
  expect(refusals.of(1, asked, 1_000)).toBe(null)
})
