/** The fraud example on a small world, and on a part of the real table. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { product } from '../product.ts'
import { demo } from './demo-run.ts'

const SMALL = { transactions: 12_000, cards: 240, seconds: 6, rate: 50, attacks: 6, seed: 3 }
const FEATURES_READ = 16
const LOANS = 2_000

const output = mkdtempSync(join(tmpdir(), 'galley-fraud-e2e-'))
afterAll(() => rmSync(output, { recursive: true, force: true }))

test('velocity makes the model better, and decisions are the same when made again', async () => {
  const { edge } = await product()
  const last = await demo('fraud', { ...SMALL, edge, output })
  expect(last).toMatchObject({ demo: 'fraud', ok: true, skew: 0, replayed_equal: true })
  expect(last.auc_gain).toBeGreaterThan(0.05)
  expect(last.decisions).toBeGreaterThanOrEqual(SMALL.seconds * SMALL.rate)
  expect(last.transactions).toBeGreaterThanOrEqual(SMALL.transactions)
  expect(last.compared).toBe(last.decisions * FEATURES_READ)
  const files = ['latency.svg', 'precision-recall.svg', 'report.json', 'roc.svg', 'scores.svg']
  expect(readdirSync(output).sort()).toEqual(files)
}, 300_000)

test('real loans are decided by what was told of them, and each decision is the same again', async () => {
  const { edge } = await product()
  const last = await demo('loans', { rows: LOANS, edge })
  expect(last).toMatchObject({ demo: 'loans', ok: true, skew: 0, replayed_equal: true })
  expect(last.rows).toBe(LOANS)
  expect(last.decisions).toBe(LOANS / 5)
  expect(last.pr_auc).toBeGreaterThan(last.majority_pr_auc)
}, 300_000)
