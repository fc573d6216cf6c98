/** Every bundle as Lambda runs it: alone in its folder, told by its environment, frozen after each reply. */
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { FUNCTION_NAMES } from '#schemas/cloud/functions.ts'
import { type Cloud, startCloud } from './cloud.ts'

let cloud: Cloud
beforeAll(async () => {
  cloud = await startCloud(inject('bundles'))
})
afterAll(() => cloud.close())

test('migrations run from their function as the owner that RDS makes, once, whoever else runs them too', async () => {
  const [first, second] = await Promise.all([cloud.start('migrate'), cloud.start('migrate')])
  const outcomes = await Promise.all([first.invoke({}), second.invoke({})])
  const reports = outcomes.map(outcome => (outcome as { value: { applied: number } }).value)
  const applied = reports.map(report => report.applied).sort((a, b) => a - b)
  expect(applied[0]).toBe(0)
  expect(applied[1]).toBeGreaterThan(10)
  const { rows } = await cloud.admin.query('select count(*)::int as n from tenants')
  expect(rows[0].n).toBe(0)
})

test('every function starts in an empty folder with what the stacks tell it, and is frozen until it is invoked', async () => {
  for (const name of FUNCTION_NAMES) {
    const host = await cloud.start(name)
    expect(await host.initMs, name).toBeGreaterThan(0)
    expect(host.isFrozen()).toBe(true)
    await host.close()
  }
})
