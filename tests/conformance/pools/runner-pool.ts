/** What whoever runs the runners of a class promises: the pool of one machine, and a service of a cloud. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { RunnerPool } from '#core/capacity/capacity.ts'

export const BOUNDS = {
  floor: 1,
  ceiling: 5,
  waitUsdPerHour: 0.2,
  missedUsd: 0,
  tenantRunnersMax: 5,
  tenants: {},
}
export type PoolDriver = {
  name: string
  /** An empty pool within `BOUNDS`. */
  open(): Promise<{
    pool: RunnerPool
    /** Resolves when what was asked for has come up, and what was to go has gone. */
    settled(): Promise<void>
    /** Ends one of its runners without a word. */
    lose(): Promise<void>
    close(): Promise<void>
  }>
}

export function runnerPoolSuite(driver: PoolDriver): void {
  describe(`runners by ${driver.name}`, () => {
    let of: Awaited<ReturnType<PoolDriver['open']>>
    beforeEach(async () => {
      of = await driver.open()
    })
    afterEach(() => of.close())

    const alive = async () =>
      (await of.pool.fleet()).runners.filter(({ state }) => state !== 'draining')
    const want = (onDemand: number, drain: string[] = []) =>
      of.pool.apply({
        desired: { spot: 0, on_demand: onDemand },
        drain: drain.map(runner => ({
          runner,
          market: 'on_demand' as const,
          why: 'told by the test',
        })),
      })
    /** The names of so many warm ones. */
    async function warm(count: number): Promise<string[]> {
      await alive()
      await want(count)
      await of.settled()
      const all = await alive()
      expect(all.map(({ state }) => state)).toEqual(new Array(count).fill('warm'))
      return all.map(({ name }) => name)
    }

    test('an empty pool has no runner, its bounds, and a time that a start is taken to need', async () => {
      const { runners, bounds, coldStartsS } = await of.pool.fleet()
      expect(runners).toEqual([])
      expect(bounds).toMatchObject({ floor: BOUNDS.floor, ceiling: BOUNDS.ceiling })
      expect(coldStartsS.length).toBeGreaterThan(0)
      for (const seconds of coldStartsS) expect(seconds).toBeGreaterThan(0)
    })

    test('what is asked for counts from then on, and is warm once it is up', async () => {
      await of.pool.fleet()
      await want(3)
      expect(await alive()).toHaveLength(3)
      await of.settled()
      const all = await alive()
      expect(all.map(({ state }) => state)).toEqual(['warm', 'warm', 'warm'])
      expect(new Set(all.map(({ name }) => name)).size).toBe(3)
    })

    test('who asks twice for the same gets it once', async () => {
      await of.pool.fleet()
      await want(2)
      await want(2)
      await of.pool.fleet()
      await want(2)
      expect(await alive()).toHaveLength(2)
    })

    test('as many go as may go, and nobody else, however few are wanted', async () => {
      const names = await warm(3)
      await want(0, names.slice(0, 1))
      await of.settled()
      expect(await alive()).toHaveLength(2)
      await want(0)
      await of.settled()
      expect(await alive()).toHaveLength(2)
    })

    test('a decision that is carried out twice lets go of no more than once', async () => {
      const names = await warm(3)
      await want(0, names.slice(0, 1))
      await want(0, names.slice(0, 1))
      await of.settled()
      expect(await alive()).toHaveLength(2)
    })

    test('one that is lost comes back without being asked for', async () => {
      await warm(2)
      await of.lose()
      await of.settled()
      expect(await alive()).toHaveLength(2)
    })

    test('it goes back to nothing', async () => {
      await want(0, await warm(2))
      await of.settled()
      expect((await of.pool.fleet()).runners).toEqual([])
    })
  })
}
