/** Faults that chaos plants: each finds the code that it breaks, so that a change of it is seen at once. */
import { expect, test } from 'vitest'
import { copyWith, type Fault, PLANTED, plant } from '../chaos/planted.ts'
import { SPOT_PLANTED, type SpotFault } from '../chaos/spot/planted.ts'
import { SWITCH_PLANTED, type SwitchFault } from '../chaos/switch/planted.ts'

test.each(Object.keys(PLANTED) as Fault[])('%s can be planted', fault => {
  const copy = plant(fault)
  copy.remove()
  expect(PLANTED[fault].patches.length).toBeGreaterThan(0)
})

test.each(Object.keys(SWITCH_PLANTED) as SwitchFault[])('%s can be planted in a switch', fault => {
  const { patches } = SWITCH_PLANTED[fault]
  copyWith(fault, patches).remove()
  expect(patches.length).toBeGreaterThan(0)
})

test.each(Object.keys(SPOT_PLANTED) as SpotFault[])('%s can be planted on spot machines', fault => {
  const { patches } = SPOT_PLANTED[fault]
  copyWith(fault, patches).remove()
  expect(patches.length).toBeGreaterThan(0)
})
