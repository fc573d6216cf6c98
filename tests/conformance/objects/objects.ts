/** What single-writer objects promise, whatever engine hosts them. */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RateLease } from '#core/deps.ts'

export type LeaseInput = { limit: string; perS: number; burst: number; want: number }
export type ObjectsEngine = {
  /** Rejects where the engine does not answer. */
  leaseRate(tenant: string, input: LeaseInput): Promise<RateLease>
  /** Kill -9 of the engine, then back again. */
  crash(): Promise<void>
  close(): Promise<void>
}

/** So slow that no token comes back while a test runs. */
const SLOW = { perS: 1e-6 }
let tenants = 0
const newTenant = () => `ten_${tenants++}`

export function objectsSuite(name: string, open: () => Promise<ObjectsEngine>): void {
  describe(`objects on ${name}`, () => {
    let engine: ObjectsEngine
    beforeAll(async () => {
      engine = await open()
    }, 60_000)
    afterAll(() => engine.close())
    const lease = (tenant: string, limit: string, burst: number, want: number) =>
      engine.leaseRate(tenant, { ...SLOW, limit, burst, want })

    test('many callers at once are granted a limit to the token, never more', async () => {
      const demands = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 60 })
      await fc.assert(
        fc.asyncProperty(fc.integer({ min: 1, max: 99 }), demands, async (burst, wants) => {
          const tenant = newTenant()
          const leases = await Promise.all(wants.map(want => lease(tenant, 'x', burst, want)))
          const wanted = wants.reduce((sum, want) => sum + want, 0)
          expect(granted(leases)).toBe(Math.min(burst, wanted))
          for (const [i, { granted }] of leases.entries())
            expect(granted).toBeLessThanOrEqual(wants[i]!)
        }),
        { numRuns: 25 },
      )
    })

    test('tenants and limits do not share tokens', async () => {
      const [one, other] = [newTenant(), newTenant()]
      expect((await lease(one, 'x', 5, 5)).granted).toBe(5)
      expect((await lease(one, 'y', 5, 5)).granted).toBe(5)
      expect((await lease(other, 'x', 5, 5)).granted).toBe(5)
      expect((await lease(one, 'x', 5, 5)).granted).toBe(0)
    })

    test('a denial says when a token is free', async () => {
      const tenant = newTenant()
      const input = { limit: 'x', perS: 0.1, burst: 1, want: 1 }
      await engine.leaseRate(tenant, input)
      const { granted, retryAfterMs } = await engine.leaseRate(tenant, input)
      expect(granted).toBe(0)
      expect(retryAfterMs).toBeGreaterThan(0)
      expect(retryAfterMs).toBeLessThanOrEqual(10_000)
    })

    test('what was granted stays spent when the engine is killed', async () => {
      const tenant = newTenant()
      expect((await lease(tenant, 'x', 10, 7)).granted).toBe(7)
      await engine.crash()
      expect((await lease(tenant, 'x', 10, 7)).granted).toBe(3)
    })

    test('a kill between many calls grants nothing twice', async () => {
      const tenant = newTenant()
      const demand = () =>
        Promise.allSettled(Array.from({ length: 50 }, () => lease(tenant, 'x', 100, 3)))
      const before = demand()
      await engine.crash()
      const acknowledged = [...(await before), ...(await demand())]
      const leases = acknowledged.flatMap(a => (a.status === 'fulfilled' ? [a.value] : []))
      expect(granted(leases)).toBeLessThanOrEqual(100)
      expect((await lease(tenant, 'x', 100, 1)).granted).toBe(0)
    })
  })
}

function granted(leases: RateLease[]): number {
  return leases.reduce((sum, lease) => sum + lease.granted, 0)
}
