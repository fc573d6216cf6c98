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
function follow(steps: Step[], o: { runsMax?: number; isExact: boolean }) {
  const owners: number[] = []
  const own = Array.from({ length: CHANNELS }, () => new OwnReceipts(o.runsMax))
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
        if (o.isExact) expect(told[i]).toBe(has[i])
        else expect(told[i]).toBeLessThanOrEqual(has[i]!)
      }
    }
  }
  const all = own.map((one, i) => [one.shipped(owners.length), owners.filter(o => o === i).length])
  return all
}

test('a channel is told to the receipt what the ledger has of it, however much is written meanwhile', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), steps => {
      for (const [told, has] of follow(steps, { isExact: true })) expect(told).toBe(has)
    }),
  )
})

test('it is told of no more than that where more is written than is kept apart, and of all once the ledger has all', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), steps => {
      const all = follow(steps, { runsMax: 3, isExact: false })
      for (const [told, has] of all) expect(told).toBe(has)
    }),
  )
})

test('what was joined while the ledger was away ends when it is back, though there is no pause', () => {
  const own = new OwnReceipts(1)
  own.wrote(2, 2)
  own.wrote(1, 7)
  expect(own.shipped(6)).toBe(0)
  expect(own.shipped(7)).toBe(3)
  own.wrote(4, 11)
  own.wrote(4, 15)
  expect(own.shipped(12)).toBe(8)
})
