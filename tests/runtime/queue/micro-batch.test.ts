/** Calls that share a batch: each hears of its own items, and of nobody else's. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AppError, PartlyDone, undoneOf } from '#core/error.ts'
import { microBatch } from '#platform/queue/batch.ts'

const LIMITS = { itemsMax: 5, weightMax: 12, weigh: (item: Item) => item.weight, inFlightMax: 2 }

type Item = { weight: number; fate: 'done' | 'failed'; id: string }
const item = fc.record({
  weight: fc.integer({ min: 1, max: 15 }),
  fate: fc.constantFrom('done', 'done', 'failed'),
})
const calls = fc.array(
  fc.record({ items: fc.array(item, { maxLength: 12 }), after: fc.constantFrom(0, 0, 1) }),
  { maxLength: 10 },
)

test('of what was asked for together, each call is told of its own items that are not done, and of no others', async () => {
  await fc.assert(
    fc.asyncProperty(calls, async all => {
      const ran: string[] = []
      const batch = microBatch(async (items: Item[]) => {
        expect(items.length).toBeLessThanOrEqual(LIMITS.itemsMax)
        const weight = items.reduce((sum, { weight }) => sum + weight, 0)
        if (items.length > 1) expect(weight).toBeLessThanOrEqual(LIMITS.weightMax)
        await null
        ran.push(...items.map(({ id }) => id))
        if (items.every(({ fate }) => fate === 'failed')) throw new AppError('unavailable')
        if (items.every(({ fate }) => fate === 'done')) return undefined
        return items.map(({ fate }) => (fate === 'done' ? undefined : new AppError('unavailable')))
      }, LIMITS)
      const asked: { items: Item[]; said: Promise<unknown> }[] = []
      for (const [c, { items: given, after }] of all.entries()) {
        const items = given.map((one, i) => ({ ...one, id: `${c}.${i}` }))
        asked.push({
          items,
          said: batch(items).then(
            () => null,
            error => error,
          ),
        })
        for (let turn = 0; turn < after; turn++) await new Promise(setImmediate)
      }
      for (const { items, said } of asked) {
        const error = await said
        const undone = items.flatMap(({ fate }, at) => (fate === 'done' ? [] : [at]))
        if (undone.length === 0) expect(error).toBe(null)
        else {
          expect(error).toMatchObject({ code: 'unavailable' })
          expect([...undoneOf(error, items.length)]).toEqual(undone)
          expect(error instanceof PartlyDone).toBe(undone.length < items.length)
        }
      }
      const ids = asked.flatMap(({ items }) => items.map(({ id }) => id))
      expect(ran.sort()).toEqual(ids.sort())
    }),
  )
})
