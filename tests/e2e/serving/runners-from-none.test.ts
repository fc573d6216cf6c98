/** A machine on which runners come and go: where none is up, a request brings one up and is answered by it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { type Product, startProduct } from '../../../bench/product.ts'
import { product } from '../product.ts'

const FLOWER = {
  inputs: [{ name: 'measurements', shape: [1, 4], datatype: 'FP32', data: [5.1, 3.5, 1.4, 0.2] }],
}

async function ask({ url, key }: Product): Promise<{ status: number; body: unknown }> {
  const response = await fetch(`${url}/v2/models/iris/infer`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}` },
    body: JSON.stringify(FLOWER),
  })
  return { status: response.status, body: await response.json() }
}

async function runners({ url, key }: Product): Promise<number> {
  const response = await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${key}` } })
  const [, count] = /^galley_router_runners(?:{[^}]*})? (\d+)$/m.exec(await response.text()) ?? []
  return Number(count)
}

/** Whether a decision about runners had this reason. */
function wasDecided({ dataFolder }: Product, reason: string): boolean {
  return readFileSync(join(dataFolder, 'log/functions.log'), 'utf8')
    .split('\n')
    .some(line => line.includes('capacity.decided') && line.includes(reason))
}

test('a prediction without a runner is answered by one that it brings up, which stays while they come and no longer', async () => {
  const { edge } = await product()
  const galley = await startProduct({ edge: edge as 'node' | 'workerd', runners: '0..2' })
  onTestFinished(() => galley.stop())
  while ((await runners(galley)) > 0) await sleep(100)
  expect(await ask(galley)).toMatchObject({ status: 200 })
  expect(wasDecided(galley, 'An online request found no runner')).toBe(true)
  while (!wasDecided(galley, '"Online requests want 1 runner."')) {
    expect(await ask(galley)).toMatchObject({ status: 200 })
    expect(await runners(galley)).toBeGreaterThan(0)
    await sleep(20)
  }
  while ((await runners(galley)) > 0) await sleep(100)
})
