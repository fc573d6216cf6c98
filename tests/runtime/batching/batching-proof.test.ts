/** Whoever shares a batch gets exactly its own rows and pays exactly its share; faults are seen. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { PLANTED } from '../../proof/batching/planted.ts'
import { prove } from '../../proof/batching/prove.ts'
import { proveReal } from '../../proof/batching/real.ts'

test('in any interleaving every caller gets its own rows or a reason of its own, and all time is paid for', async () => {
  const proof = await prove({ seed: 20_260, cases: 400 })
  const { kills } = await proveReal({ seed: 20_260, cases: 30 }, proof)
  expect([...proof.rowErrors, ...proof.receiptErrors]).toEqual([])
  for (const [what, count] of Object.entries({ ...proof.met, kills })) {
    expect(count, what).toBeGreaterThan(0)
  }
})

test('every fault can be planted: the sources hold what it changes', () => {
  for (const [fault, patches] of Object.entries(PLANTED)) {
    for (const [file, from] of patches) expect(readFileSync(file, 'utf8'), fault).toContain(from)
  }
})
