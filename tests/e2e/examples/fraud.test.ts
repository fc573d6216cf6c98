/** The fraud example as its README says it is started, on a small world and with a product of its own. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { product } from '../product.ts'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const SMALL = { transactions: 12_000, cards: 240, seconds: 6, rate: 50, attacks: 6 }

const output = mkdtempSync(join(tmpdir(), 'galley-fraud-e2e-'))
afterAll(() => rmSync(output, { recursive: true, force: true }))

test('velocity makes the model better, and decisions are the same when made again', {
  timeout: 300_000,
}, async () => {
  const { edge } = await product()
  const flags = Object.entries({ ...SMALL, edge, output })
  const { code, printed } = await demo(flags.flatMap(([name, value]) => [`--${name}`, `${value}`]))
  expect(code, printed).toBe(0)
  const last = JSON.parse(printed.trimEnd().split('\n').at(-1)!)
  expect(last).toMatchObject({ demo: 'fraud', ok: true, skew: 0, replayed_equal: true })
  expect(last.auc_gain).toBeGreaterThan(0.05)
  expect(last.decisions).toBeGreaterThanOrEqual(SMALL.seconds * SMALL.rate)
  expect(last.transactions).toBeGreaterThanOrEqual(SMALL.transactions)
  expect(last.compared).toBe(last.decisions * 16)
  expect(readdirSync(output).sort()).toEqual(
    ['latency.svg', 'precision-recall.svg', 'report.json', 'roc.svg', 'scores.svg'].sort(),
  )
})

async function demo(args: string[]): Promise<{ code: number; printed: string }> {
  const child = spawn(process.execPath, ['bench/demo.ts', 'fraud', ...args], { cwd: ROOT })
  let printed = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', chunk => {
      printed += chunk
    })
  }
  const [code] = await once(child, 'close')
  return { code, printed }
}
