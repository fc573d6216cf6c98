/** What is explained is what is read: the events that are said to count give the value, and no other does. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { explained } from '#core/features/online/explained.ts'
import { compileForReading, type Row, valuesOf } from '#core/features/online/view.ts'
import { caseOf } from '#tests/proof/features/cases.ts'
import { factsOf } from '#tests/proof/features/offline.ts'
import { play } from '#tests/proof/features/run.ts'

const folder = mkdtempSync(join(tmpdir(), 'galley-explained-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('a feature of the events that it is said to be made of is what it was of all', async () => {
  let compared = 0
  const reasons = new Set<string>()
  for (let seed = 700; seed < 706; seed++) {
    const played = await play(caseOf(seed), folder)
    const facts = factsOf(played)
    for (const { entity, entityKey, t } of played.served) {
      const rows = facts
        .filter(each => each.entity === entity && each.entityKey === entityKey)
        .map(({ fact }): Row => {
          const { eventTime, knownAt, seq, data } = fact
          const retractedAt = fact.retractions.length > 0 ? Math.min(...fact.retractions) : null
          return { eventTime, knownAt, seq, retractedAt, data }
        })
        .sort((a, b) => a.eventTime - b.eventTime || a.knownAt - b.knownAt || a.seq - b.seq)
      for (const plan of played.plan.views.filter(view => view.entity === entity)) {
        const view = compileForReading(plan)
        const all = valuesOf(view, rows, t)
        const { events } = explained(view, rows, t, Number.POSITIVE_INFINITY)
        for (const { leftOut } of events) if (leftOut !== null) reasons.add(leftOut)
        for (const [i, { name }] of plan.features.entries()) {
          const parts = new Set(
            events.filter(({ features }) => features.includes(name)).map(({ seq }) => seq),
          )
          const some = valuesOf(
            view,
            rows.filter(({ seq }) => parts.has(seq)),
            t,
          )
          expect([seed, name, some.values[i]]).toEqual([seed, name, all.values[i]])
          const { aggregate, span } = plan.features[i]!
          if (span.kind !== 'latest' && aggregate !== 'count' && aggregate !== 'distinct') {
            const others = rows.filter(({ seq }) => !parts.has(seq))
            expect(valuesOf(view, others, t).statuses[i]).toBe('NOT_FOUND')
          }
          compared++
        }
      }
    }
  }
  expect(compared).toBeGreaterThan(300)
  expect([...reasons].sort()).toEqual(['filtered', 'late', 'not_known_yet', 'older', 'retracted'])
}, 60_000)
