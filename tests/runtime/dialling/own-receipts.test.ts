/** Of receipts that several channels write to one log: none is counted off before the ledger has it. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { OwnReceipts } from '#gpu-runners/dialling/own-receipts.ts'

const CHANNELS = 3
const step = fc.oneof(
  fc.record({
    do: fc.constant('wrote' as const),
    channel: fc.nat(CHANNELS - 1),
    count: fc.integer({ min: 1, max: 4 }),
  }),
  fc.record({ do: fc.constant('shipped' as const), more: fc.nat(8) }),
)

type Step = { do: 'wrote'; channel: number; count: number } | { do: 'shipped'; more: number }

/** The log as a list of whose each receipt is, and how many of them the ledger has. */
function follow(steps: Step[], runsMax?: number) {
  const owners: number[] = []
  const own = Array.from({ length: CHANNELS }, () => new OwnReceipts(runsMax))
  const told = own.map(() => 0)
  const has = own.map(() => 0)
  let shipped = 0
  for (const each of steps) {
    if (each.do === 'wrote') {
      owners.push(...Array<number>(each.count).fill(each.channel))
      own[each.channel]!.wrote(each.count, owners.length)
    } else {
      shipped = Math.min(owners.length, shipped + each.more)
      for (const [i, one] of own.entries()) {
        told[i] = one.shipped(shipped)
        has[i] = owners.slice(0, shipped).filter(owner => owner === i).length
        expect(told[i]).toBeLessThanOrEqual(has[i]!)
      }
    }
  }
  const all = own.map((one, i) => [one.shipped(owners.length), owners.filter(o => o === i).length])
  return all
}

test('a channel is never told of more than the ledger has of it, and of all once it has all', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), steps => {
      for (const [told, has] of follow(steps)) expect(told).toBe(has)
    }),
  )
})

test('so it is while the ledger is away and more is written than is kept apart', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), steps => {
      for (const [told, has] of follow(steps, 3)) expect(told).toBe(has)
    }),
  )
})

test('one channel by itself is told to the receipt', () => {
  const own = new OwnReceipts()
  own.wrote(3, 3)
  own.wrote(2, 5)
  own.wrote(4, 9)
  expect(own.shipped(9)).toBe(9)
})
