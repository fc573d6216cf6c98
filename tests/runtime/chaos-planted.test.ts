/** Faults that chaos plants: each finds the code that it breaks, so that a change of it is seen at once. */
import { expect, test } from 'vitest'
import { type Fault, PLANTED, plant } from '../chaos/planted.ts'

test.each(Object.keys(PLANTED) as Fault[])('%s can be planted', fault => {
  const copy = plant(fault)
  copy.remove()
  expect(PLANTED[fault].patches.length).toBeGreaterThan(0)
})
