/** The budget of models in memory: what it lets in, what it takes away for it, and what it leaves alone. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Memory, NoRoom, openMemory, type Room } from '#gpu-runners/models/memory.ts'

const BUDGET = 1_000
const log = { info() {}, error() {} }

type Loaded = { bytes: number; usedAt: number; busy: boolean; evicted: boolean; room: Room }

function world(modelsMax = 64) {
  let now = 0
  const clock = { now: () => now }
  const models = new Map<string, Loaded>()
  const memory: Memory = openMemory(
    { clock, log },
    { budgetBytes: BUDGET, modelsMax, overheadBytes: () => 0 },
  )
  return {
    models,
    memory,
    now: () => now,
    pass: (ms: number) => {
      now += ms
    },
    async load(digest: string, bytes: number, loadMs: number, fileBytes = bytes): Promise<Loaded> {
      const room = await memory.admit({ digest, fileBytes })
      now += loadMs
      const one: Loaded = { bytes, usedAt: now, busy: false, evicted: false, room }
      models.set(digest, one)
      try {
        await room.settle({
          residentBytes: () => one.bytes,
          usedAt: () => one.usedAt,
          busy: () => one.busy,
          async evict() {
            one.evicted = true
            models.delete(digest)
          },
        })
      } catch (error) {
        models.delete(digest)
        throw error
      }
      return one
    },
  }
}

const DIGESTS = ['a', 'b', 'c', 'd', 'e', 'f'] as const
const sizes = fc.array(fc.integer({ min: 1, max: BUDGET * 1.2 }), {
  minLength: DIGESTS.length,
  maxLength: DIGESTS.length,
})
const step = fc.record({
  which: fc.nat({ max: DIGESTS.length - 1 }),
  loadMs: fc.integer({ min: 0, max: 50 }),
  passMs: fc.integer({ min: 0, max: 3_000 }),
  busy: fc.boolean(),
})

test('in any order of loads and uses the models that are in stay within the budget, none in use is taken, and none for nothing', () =>
  fc.assert(
    fc.asyncProperty(sizes, fc.array(step, { maxLength: 60 }), async (bytesOf, steps) => {
      const { models, memory, load, pass, now } = world()
      for (const { which, loadMs, passMs, busy } of steps) {
        const [digest, bytes] = [DIGESTS[which]!, bytesOf[which]!]
        pass(passMs)
        const known = models.get(digest)
        if (known) {
          known.usedAt = now()
          known.busy = busy
          continue
        }
        const before = [...models]
        const inUse = before.filter(([, one]) => one.busy)
        const result = await load(digest, bytes, loadMs).catch(error => error)
        expect(inUse.every(([, one]) => !one.evicted)).toBe(true)
        if (result instanceof NoRoom) {
          expect(before.every(([, one]) => !one.evicted)).toBe(true)
          expect(result.retryable).toBe(/beside/.test(result.public))
          expect(result.public).toMatch(/\d+ MB/)
        } else {
          const total = [...models.values()].reduce((sum, one) => sum + one.bytes, 0)
          expect(total).toBeLessThanOrEqual(BUDGET)
        }
        expect(memory.usedBytes()).toBe(
          [...models.values()].reduce((sum, one) => sum + one.bytes, 0),
        )
      }
    }),
  ))

test('models that take turns in too little memory spend a twentieth of their time on loading at most', async () => {
  const { models, load, pass, now } = world()
  const loadMs = 100
  let loads = 0
  let refused = 0
  for (let i = 0; i < 20_000; i++) {
    const digest = i % 2 === 0 ? 'a' : 'b'
    const warm = models.get(digest)
    if (warm) warm.usedAt = now()
    else {
      const result = await load(digest, 600, loadMs, 400).catch(error => error)
      if (result instanceof NoRoom) {
        refused++
        expect(result.retryAfterS).toBeGreaterThanOrEqual(1)
      } else loads++
    }
    pass(10)
    // Now and then one of them rests.
    if (i % 1_001 === 0) pass(3_000)
  }
  expect(refused).toBeGreaterThan(0)
  expect(loads).toBeGreaterThan(5)
  expect(loads * loadMs * 20).toBeLessThanOrEqual(now())
})

test('the oldest in use goes first, and only as many as are needed', async () => {
  const { models, load, pass } = world()
  for (const digest of ['a', 'b', 'c', 'd']) {
    await load(digest, 250, 0, 1)
    pass(1)
  }
  models.get('a')!.usedAt += 10
  pass(20)
  await load('e', 300, 0, 200)
  expect([...models.keys()]).toEqual(['a', 'd', 'e'])
})

test('what a model was measured to hold counts the next time, whatever its files suggest', async () => {
  const { load, pass, models } = world()
  const first = await load('a', 900, 0, 10)
  pass(1)
  await load('b', 500, 0, 10)
  expect(first.evicted).toBe(true)
  models.get('b')!.busy = true
  await expect(load('a', 900, 0, 10)).rejects.toBeInstanceOf(NoRoom)
  expect(models.get('b')!.evicted).toBe(false)
})

test('one that is larger than all may hold together is told so, and not to come again', async () => {
  const { load, models } = world()
  await load('a', 500, 0, 10)
  const error = await load('b', 2_000, 0).catch(error => error)
  expect(error).toMatchObject({ code: 'unavailable', retryable: false })
  expect(models.get('a')!.evicted).toBe(false)
})
