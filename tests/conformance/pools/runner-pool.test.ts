/** The suite of runner pools over the one of this machine: real processes. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, vi } from 'vitest'
import { openLogFile } from '#local/logfile.ts'
import { startPlace } from '#local/place.ts'
import { openPool } from '#local/pool/pool.ts'
import { BOUNDS, runnerPoolSuite } from './runner-pool.ts'

const WAIT_MS = 40_000
const clock = { now: () => Date.now() }
const log = { info() {}, error() {} }
const entry = join(import.meta.dirname, '../../runtime/local/place.ts')

runnerPoolSuite({
  name: 'processes of this machine',
  async open() {
    const folder = mkdtempSync(join(tmpdir(), 'galley-pool-'))
    mkdirSync(join(folder, 'run'))
    let isLosing: { name: string; pid: number } | null = null
    const pool = openPool(
      {
        clock,
        log,
        start: (name, signal) => {
          const output = openLogFile(join(folder, `${name}.log`))
          return startPlace({ entry, cwd: folder, env: { PLACE_NAME: name }, output }, signal)
        },
      },
      { least: BOUNDS.floor, most: BOUNDS.ceiling, first: [] },
    )
    return {
      pool,
      settled: () =>
        vi.waitFor(async () => {
          const { runners } = await pool.fleet()
          expect(runners.filter(({ state }) => state !== 'warm')).toEqual([])
          if (isLosing) expect(pool.pids()).toHaveProperty(isLosing.name)
          if (isLosing) expect(pool.pids()[isLosing.name]).not.toBe(isLosing.pid)
        }, WAIT_MS),
      async lose() {
        const [name, pid] = Object.entries(pool.pids())[0]!
        isLosing = { name, pid }
        process.kill(pid, 'SIGKILL')
      },
      async close() {
        await pool.stop(0)
        rmSync(folder, { recursive: true, force: true })
      },
    }
  },
})
