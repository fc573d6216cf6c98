/** Work for a class of hardware waits for a runner of it, however long, and meets no other: on every queue. */

import { setTimeout as sleep } from 'node:timers/promises'
import { SQSClient } from '@aws-sdk/client-sqs'
import fc from 'fast-check'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import type { Queue } from '#core/deps.ts'
import { connectionOf } from '#platform/db/postgres.ts'
import { postgresQueue } from '#platform/queue/postgres.ts'
import { sqsQueue } from '#platform/queue/sqs.ts'
import { clientConfig, freshQueues, startFauxqs } from '#tests/cloud/servers.ts'
import { testDatabase } from '#tests/database.ts'
import { type Kind, openScene, type Runner, type Scene, until } from './scene.ts'

// What met the wrong runner pauses for a second or two before it is seen again.
vi.setConfig({ testTimeout: 180_000 })

/** Those of the pools of a cloud, and machines that an operator gave names of their own. */
const CPU: Kind = { hardware: 'cpu', isDedicated: false }
const GPU: Kind = { hardware: 'gpu', isDedicated: true }
const KINDS: Kind[] = [
  CPU,
  GPU,
  { hardware: 'l4', isDedicated: false },
  { hardware: 'arm', isDedicated: true },
]
const CLASSES = [undefined, 'cpu', 'gpu', 'l4', 'arm']

const engines: Record<string, () => Promise<{ queue: Queue; close(): Promise<void> }>> = {
  async postgres() {
    const { url } = await testDatabase()
    const pool = new pg.Pool({ ...connectionOf(url), max: 8 })
    const queue = postgresQueue({ pool, listen: connectionOf(url) as pg.ClientConfig })
    const close = async () => {
      await queue.close()
      await pool.end()
    }
    return { queue, close }
  },
  async sqs() {
    const server = await startFauxqs()
    const client = new SQSClient(clientConfig(server.endpoint))
    const blobs = () => Promise.reject(new Error('no body is that large'))
    const log = { info() {}, error() {} }
    const queue = sqsQueue({ client, urls: await freshQueues(client), blobs, log })
    const close = async () => {
      client.destroy()
      await server.close()
    }
    return { queue, close }
  },
}

describe.each(Object.entries(engines))('classes of hardware on %s', (_, open) => {
  let scene: Scene
  let close: () => Promise<void>
  const models = new Map<string | undefined, string>()
  beforeAll(async () => {
    const engine = await open()
    close = engine.close
    scene = await openScene(engine.queue)
    for (const hardware of CLASSES) models.set(hardware, await scene.ready(hardware))
  })
  afterAll(async () => {
    await scene.close()
    await close()
  })
  const start = (kind: Kind) => {
    const runner = scene.start(kind)
    onTestFinished(() => runner.stop())
    return runner
  }
  const job = (hardware: string | undefined, isOld = false) =>
    scene.job(models.get(hardware)!, hardware, isOld)
  const areDone = async (ids: readonly string[]) =>
    (await scene.states(ids)).every(state => state === 'done')

  test('a job for a class of which no runner is up is received by nobody, and done as soon as one is', async () => {
    const cpu = start(CPU)
    const waiting = [await job('gpu'), await job('gpu')]
    const others = [await job(undefined), await job('cpu')]
    await until(() => areDone(others))
    const { rows } = await scene.admin.query('select id from steps where run_id = any($1)', [
      waiting,
    ])
    expect(cpu.received.filter(id => rows.some(row => row.id === id))).toEqual([])
    expect(await scene.states(waiting)).toEqual(['queued', 'queued'])
    const gpu = start(GPU)
    const unasked = await job(undefined)
    await until(() => areDone([...waiting, unasked]))
    expect(gpu.worked.map(({ hardware }) => hardware)).toEqual(['gpu', 'gpu', 'gpu', 'gpu'])
    expect(cpu.worked.some(({ run }) => run === unasked)).toBe(true)
    expect(await scene.dead()).toBe(0)
  })

  test('a version is judged by a runner of its class, and waits for one while only others are up', async () => {
    start(CPU)
    const [waiting, usual] = [await scene.publish('gpu'), await scene.publish(undefined)]
    const isReady = async (model: string) => (await scene.version(model)).state === 'ready'
    await until(() => isReady(usual))
    expect((await scene.version(waiting)).state).toBe('validating')
    start(GPU)
    await until(() => isReady(waiting))
    expect((await scene.version(waiting)).tuning).toMatchObject({ hardware: 'gpu' })
    expect(await scene.dead()).toBe(0)
  })

  test('whoever is up when, whatever older code has put where: each class does its own, and nothing dies', async () => {
    const work = fc.array(
      fc.record({ hardware: fc.constantFrom(...CLASSES), isOld: fc.boolean() }),
      { minLength: 1, maxLength: 4 },
    )
    const ups = fc.array(fc.subarray(KINDS), { maxLength: 1 })
    await fc.assert(
      fc.asyncProperty(work, ups, async (asked, phases) => {
        const ids = await Promise.all(asked.map(({ hardware, isOld }) => job(hardware, isOld)))
        const all: Runner[] = []
        for (const kinds of [...phases, KINDS]) {
          const up = kinds.map(kind => scene.start(kind))
          all.push(...up)
          if (kinds === KINDS) await until(() => areDone(ids))
          else await sleep(300)
          await Promise.all(up.map(runner => runner.stop()))
        }
        for (const { hardware, isDedicated, worked } of all) {
          for (const one of worked) {
            const own = one.hardware === hardware
            expect(
              own || (one.hardware === undefined && (!isDedicated || hardware === 'cpu')),
            ).toBe(true)
          }
        }
        expect(await scene.dead()).toBe(0)
      }),
      { numRuns: 4, endOnFailure: true },
    )
  })
})
