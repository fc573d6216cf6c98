/** Keys of applied events: found where they stand, whenever they were sorted in and whoever died meanwhile. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { hash128 } from '#core/events/sha256.ts'
import { type KeyPlace, Keys } from '#core/features/online/keys.ts'
import { openObjectFile } from '#platform/objects/file.ts'

const RECENT_MAX = 4
const EVENTS = 12
const ENTITIES = [
  ['card', 'a'],
  ['card', 'b'],
  ['merchant', 'a'],
] as const

const step = fc.record({
  event: fc.nat(EVENTS - 1),
  at: fc.nat(ENTITIES.length - 1),
  does: fc.constantFrom('add', 'add', 'add', 'remove', 'fail', 'reopen'),
})

const keyOf = (event: number) => hash128('keys', String(event))
const placeOf = (event: number): KeyPlace => ({
  type: `type ${event % 2}`,
  eventTime: 1_700_000_000_000_000 + event * 7,
})

test('a key is found at its entity from when it is added until it is removed, and at no other', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), steps => {
      const folder = mkdtempSync(join(tmpdir(), 'galley-keys-'))
      const open = () => openObjectFile(join(folder, 'object.db'))
      let file = open()
      let keys!: Keys
      const begin = () => file.commit(() => (keys = new Keys(file.sql, RECENT_MAX)))
      const known = new Map<string, KeyPlace>()
      begin()
      for (const { event, at, does } of steps) {
        const [entity, entityKey] = ENTITIES[at]!
        const name = `${event} ${at}`
        const add = () => keys.add(keyOf(event), entity, entityKey, placeOf(event))
        if (does === 'add' && !known.has(name)) {
          file.commit(add)
          known.set(name, placeOf(event))
        } else if (does === 'remove' && known.has(name)) {
          file.commit(() => keys.remove(keyOf(event), entity, entityKey, placeOf(event)))
          known.delete(name)
        } else if (does === 'fail' && !known.has(name)) {
          // The host undoes the step and makes the object anew.
          const outcome = { kept: true }
          file.commit(() => {
            const done = file.step(() => {
              add()
              throw new Error('later in the same call')
            })
            outcome.kept = 'value' in done
          })
          expect(outcome.kept).toBe(false)
          begin()
        } else if (does === 'reopen') {
          file.close()
          file = open()
          begin()
        }
      }
      for (let event = 0; event < EVENTS; event++) {
        for (const [at, [entity, entityKey]] of ENTITIES.entries()) {
          const place = known.get(`${event} ${at}`)
          expect(keys.find(keyOf(event), entity, entityKey)).toEqual(place ? [place] : [])
        }
      }
      file.close()
      rmSync(folder, { recursive: true })
    }),
    { numRuns: 60 },
  )
})
