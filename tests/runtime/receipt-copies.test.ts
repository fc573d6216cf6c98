/** The router's copies of receipts: what is left of them is what the ledger has not confirmed. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Caller } from '#core/caller.ts'
import { CARRIED_BYTES_MAX } from '#core/carried.ts'
import type { Servable } from '#core/deps.ts'
import { entriesOf, type Line } from '#core/usage/receipt-log.ts'
import { ReceiptCopies } from '#gpu-runners/online/copies.ts'

const caller = { tenantId: 'ten_1', keyId: 'key_1', project: null, tags: {} } as unknown as Caller
const model = { model: 'm', version: 1, digest: 'd' } as unknown as Servable

const step = fc.oneof(
  fc.record({ do: fc.constant('reply' as const), isGap: fc.boolean() }),
  fc.record({ do: fc.constant('shipped' as const), more: fc.nat(4) }),
)

test('the ledger may be ahead of the replies and behind them: just what it lacks is kept', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), steps => {
      const copies = new ReceiptCopies()
      const replies: (number | null)[] = []
      let shipped = 0
      for (const each of steps) {
        if (each.do === 'shipped') {
          shipped += each.more
          copies.drop(shipped)
        } else if (each.isGap) {
          replies.push(null)
          copies.pushGap()
        } else {
          const number = replies.push(replies.length) - 1
          copies.push({ caller, model }, Buffer.from(`[0,"rcp_${number}","req",1,1,1,1,1]`))
        }
      }
      const left = copies
        .logs()
        .flat()
        .flatMap(line => /rcp_(\d+)/.exec(line)?.[1] ?? [])
      const expected = replies.slice(shipped).filter(number => number !== null)
      expect(left).toEqual(expected.map(String))
    }),
  )
})

test('copies of a long absence of the ledger go in logs that a gateway carries, each of which is whole by itself', () => {
  const copies = new ReceiptCopies()
  const count = 20_000
  for (let i = 0; i < count; i++) {
    const tags = { team: `é${i % 3}`.repeat(90) }
    copies.push(
      { caller: { ...caller, tags }, model },
      Buffer.from(`[0,"rcp_${i}","req",1,1,1,1,1]`),
    )
  }
  const logs = copies.logs()
  const ids: string[] = []
  for (const lines of logs) {
    expect(Buffer.byteLength(`{"lines":[${lines}]}`)).toBeLessThan(CARRIED_BYTES_MAX)
    const { entries, orphans } = entriesOf(lines.map(line => JSON.parse(line) as Line))
    expect(orphans).toBe(0)
    for (const { receipts } of entries) ids.push(...receipts.map(({ id }) => id))
  }
  expect(logs.length).toBeGreaterThan(1)
  expect(new Set(ids).size).toBe(count)
})
