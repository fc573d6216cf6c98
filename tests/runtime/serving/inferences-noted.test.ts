/** A runner's half of the inference log: which answers are told of, as what, and what becomes of the others. */
import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import type { Logged } from '#core/inference/log/log.ts'
import { receiptId } from '#core/usage/receipt.ts'
import { openInferenceLog } from '#gpu-runners/online/inference-log.ts'
import { Registry } from '#platform/metrics/registry.ts'
import { newId, type TenantId } from '#schemas/ids.ts'
import type { LogSetting } from '#schemas/serving.ts'
import { callOf, handClock } from '#tests/caller.ts'
import { servable } from './asking.ts'

const SETTING: LogSetting = { sample: 1, retention_days: 7 }
const OF_CARDS = { ...SETTING, subject: { entity: 'card', parameter: 'card' } }

/** A log whose functions answer as the test says; what they were told, and what was counted. */
function scene(answer: () => Promise<void> = async () => {}) {
  const told: Logged[][] = []
  const registry = new Registry()
  const outcomes = registry.counter('logged_total', 'l', ['outcome'])
  const clock = handClock()
  const control = {
    async askJson<T>(_path: string, json: string): Promise<T> {
      await answer()
      told.push((JSON.parse(json) as { records: Logged[] }).records)
      return {} as T
    },
  }
  const log = openInferenceLog({ control, clock, log: { info() {}, error() {} } }, outcomes)
  return {
    clock,
    log,
    all: () => told.flat(),
    counted: () =>
      Object.fromEntries(registry.snapshot()[0]!.series.map(([[name], count]) => [name, count])),
  }
}

const { caller } = callOf(newId('tenant') as TenantId)
/** What is noted of an answer to these numbers. */
function answerTo(
  setting: LogSetting,
  parameters: Record<string, string> = {},
  values = new Float32Array(2),
) {
  const work = newId('request')
  const id = receiptId(work, createHash('sha256').update(work).digest('hex'))
  const x = { name: 'x', datatype: 'FP32' as const, shape: [1, values.length], data: values }
  const request = { id: null, parameters, inputs: [x], outputs: [], rows: 1 }
  const used = { at: 1, rows: 1, computeUs: 1, bytesIn: 1, bytesOut: 1 }
  const model = servable({ inference_log: setting })
  return [
    { caller, model },
    { id, work, ...used },
    { request, outputs: [x] },
  ] as const
}

test('the share that was asked for is told of, and of the same request always the same is decided', async () => {
  const { log, all, counted } = scene()
  const some = Array.from({ length: 4_000 }, () => answerTo({ ...SETTING, sample: 0.25 }))
  for (const each of [...some, ...some]) log.note(...each)
  await log.close()
  const ids = all().map(({ id }) => id)
  // Four standard deviations.
  expect(Math.abs(ids.length / 2 - 1_000)).toBeLessThan(4 * Math.sqrt(4_000 * 0.25 * 0.75))
  expect(ids.slice(ids.length / 2)).toEqual(ids.slice(0, ids.length / 2))
  expect(counted()).toEqual({ kept: ids.length })
})

test('what was asked is told of as it was, under its receipt, with whom it is about', async () => {
  const { log, all } = scene()
  const parameters = { card: 'c1', features: 'snapshot' }
  const answer = answerTo(OF_CARDS, parameters, Float32Array.of(1.5, Number.NaN))
  log.note(...answer)
  await log.close()
  const [{ model }, receipt] = answer
  expect(all()).toMatchObject([
    {
      tenantId: caller.tenantId,
      keyId: caller.keyId,
      id: receipt.work,
      receipt: receipt.id,
      at: receipt.at,
      model: model.model,
      version: model.version,
      digest: model.digest,
      features: 'snapshot',
      subjectEntity: 'card',
      subject: 'c1',
      rows: 1,
    },
  ])
  const { x } = JSON.parse(all()[0]!.inputs) as Record<string, unknown>
  expect(x).toEqual({ datatype: 'FP32', shape: [1, 2], data: [1.5, 'NaN'] })
})

test('what could not be found again when somebody asks to be forgotten is not told of, nor what is too large', async () => {
  const { log, all, counted } = scene()
  log.note(...answerTo(OF_CARDS))
  log.note(...answerTo(OF_CARDS, { card: '' }))
  log.note(...answerTo(OF_CARDS, { card: 'c'.repeat(300) }))
  log.note(...answerTo(SETTING, {}, new Float32Array(200_000)))
  log.note(...answerTo(SETTING))
  await log.close()
  expect(all()).toHaveLength(1)
  expect(counted()).toEqual({ no_subject: 3, too_large: 1, kept: 1 })
})

test('while the functions are away nothing is lost for half a minute, and then it is given up and counted', async () => {
  let isAway = true
  let tries = 0
  const { clock, log, all, counted } = scene(async () => {
    tries++
    if (isAway) throw new Error('nobody there')
  })
  log.note(...answerTo(SETTING))
  await expect.poll(() => tries, { timeout: 5_000 }).toBe(2)
  expect(counted()).toEqual({})
  clock.forward(31_000)
  await expect.poll(counted, { timeout: 5_000 }).toEqual({ not_told: 1 })
  log.note(...answerTo(SETTING))
  isAway = false
  await expect.poll(() => all().length, { timeout: 5_000 }).toBe(1)
  expect(counted()).toEqual({ not_told: 1, kept: 1 })
  await log.close()
})

test('a memory that is full of what could not be told yet takes no more, and counts what it drops', async () => {
  const { log, counted } = scene(() => new Promise(() => {}))
  // 248 KB of text each: sixteen megabytes take 67 of them.
  const values = new Float32Array(31_000).fill(0.5)
  for (let i = 0; i < 80; i++) log.note(...answerTo(SETTING, {}, values))
  await expect.poll(counted, { timeout: 5_000 }).toEqual({ full: 13 })
})
