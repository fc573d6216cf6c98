/** A class of machines of which none is up: what asks for it waits, and is done when one comes, by that one. */
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import * as models from '#tests/models.ts'
import { startRunner } from '#tests/second-runner.ts'
import { placesOf } from '../../chaos/processes.ts'
import {
  type Job,
  named,
  newTenant,
  ok,
  publish,
  publishing,
  settled,
  startJob,
} from '../actions.ts'
import { product } from '../product.ts'

const ROWS = Buffer.from('{"inputs":{"x":[1,2,3,4]}}\n'.repeat(20))
const ONE = { inputs: [{ name: 'x', shape: [1, 4], datatype: 'FP32', data: [1, 2, 3, 4] }] }

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(50)
}

/** A machine of that class; returns how it is stopped. */
async function startGpu(): Promise<() => Promise<void>> {
  const [first] = placesOf((await product()).pid, 'runner')
  const of = { GALLEY_HARDWARE: 'gpu', GALLEY_DEDICATED: 'true' }
  const runner = await startRunner(first!.pid, named('gpu'), of)
  const stop = async () => {
    if (runner.exitCode !== null || runner.signalCode !== null) return
    const exited = once(runner, 'exit')
    runner.kill('SIGTERM')
    await exited
  }
  onTestFinished(stop)
  return stop
}

test.skipIf(process.platform !== 'linux')(
  'a version and jobs for a class wait for a machine of it, whatever others are up, and nothing of theirs is tried elsewhere',
  async () => {
    const { key } = await newTenant()
    const graph = models.mlp(1, [4, 4])
    const manifest = { hardware: 'gpu' }
    const [dear, usual] = [named('dear'), named('usual')]
    const published = publishing(dear, graph, { key, manifest })
    await publish(usual, graph, { key })
    const version = () =>
      ok<{ state: string }>('GET', `/v1/registry/models/${dear}/versions/1`, undefined, { key })
    expect((await version()).state).toBe('validating')
    const stop = await startGpu()
    await until(async () => (await version()).state === 'ready')
    expect((await published).body).toMatchObject({ state: 'ready', tuning: { hardware: 'gpu' } })
    expect(await ok('POST', `/v2/models/${dear}/infer`, ONE, { key })).toMatchObject({
      model_version: '1',
    })
    await stop()
    const waiting = await startJob(dear, ROWS, { key })
    expect(await settled((await startJob(usual, ROWS, { key })).id, key)).toMatchObject({
      state: 'done',
    })
    const now = await ok<Job>('GET', `/v1/jobs/${waiting.id}`, undefined, { key })
    expect(now.state).toBe('queued')
    await startGpu()
    expect(await settled(waiting.id, key)).toMatchObject({ state: 'done', rows_done: 20 })
  },
)
