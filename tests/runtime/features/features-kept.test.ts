/** Events that the objects forgot before a type asked for more days: no window reaches back to them. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import * as events from '#core/events/events.ts'
import * as features from '#core/features/features.ts'
import { eventTypeBody } from '#schemas/contracts/events.ts'
import { viewBody } from '#schemas/contracts/features.ts'
import { callOf, handClock, inTenant, newTenant } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'

const { db } = await testDatabase()
const DAY_MS = 86_400_000
/** As an object keeps them, whatever a type says. */
const DAYS_MIN = 32

const raise = fc.record({ afterDays: fc.integer({ min: 1, max: 60 }), by: fc.nat({ max: 50 }) })

test('a view is taken exactly when the objects have all events that its window can reach', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(raise, { maxLength: 3 }),
      fc.integer({ min: 0, max: 80 }),
      fc.integer({ min: 1, max: 120 }),
      async (raises, waitDays, windowDays) => {
        const clock = handClock()
        const { tenantId } = await newTenant(db)
        const call = callOf(tenantId)
        let onlineDays = 30
        const declare = () =>
          inTenant({ db, clock }, tenantId, unit =>
            events.declare(unit, call, {
              type: 'payment',
              ...eventTypeBody.parse({
                fields: { card: { type: 'string' } },
                entities: { card: 'card' },
                online_days: onlineDays,
              }),
            }),
          )
        // The days of which an object has every event, told day by day as it forgets.
        let kept = new Set<number>()
        let today = 0
        const live = (days: number) => {
          for (let i = 0; i < days; i++) {
            kept.add(today++)
            kept = new Set([...kept].filter(day => today - day <= Math.max(onlineDays, DAYS_MIN)))
          }
          clock.forward(days * DAY_MS)
        }
        await declare()
        for (const { afterDays, by } of raises) {
          live(afterDays)
          onlineDays += by
          await declare()
        }
        live(waitDays)
        const reached = Array.from({ length: windowDays }, (_, i) => today - 1 - i)
        const isKept = reached.every(day => day < 0 || kept.has(day))
        const taken = await inTenant({ db, clock }, tenantId, unit =>
          features.planView(unit, {
            view: 'velocity',
            ...viewBody.parse({
              entity: 'card',
              event_type: 'payment',
              features: { n: { agg: 'count', window: `${windowDays}d` } },
            }),
          }),
        ).then(
          () => true,
          error => {
            expect(error).toMatchObject({ code: 'invalid_definition' })
            return false
          },
        )
        expect(taken).toBe(windowDays <= onlineDays && isKept)
      },
    ),
    { numRuns: 60 },
  )
})
