/** How a version runs best: measured when it is published, chosen by a rule, and then obeyed. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, expect, test, vi } from 'vitest'
import { shardLimits } from '#gpu-runners/bulk/plan.ts'
import { settingsOn } from '#gpu-runners/models/files.ts'
import { best, type Measured, tune } from '#gpu-runners/validate/tune.ts'
import { validateModel } from '#gpu-runners/validate/validate.ts'
import type { CurvePoint } from '#schemas/tuning.ts'
import * as models from '#tests/models.ts'

// A process starts for each verdict; a busy machine may take its time.
vi.setConfig({ testTimeout: 60_000 })

const log = { info() {}, error() {} }
const folder = mkdtempSync(join(tmpdir(), 'galley-tuning-'))
afterAll(() => rmSync(folder, { recursive: true }))

async function measuredOf(bytes: Uint8Array, limits = {}) {
  const localPath = join(folder, 'model.onnx')
  writeFileSync(localPath, bytes)
  const files = [{ path: 'm.onnx', localPath, sha256: '', size: bytes.length }]
  const verdict = await validateModel({ log }, { files, graph: 'm.onnx', limits })
  if (!verdict.ok) throw new Error(verdict.detail)
  return verdict.tuning
}

test('publishing measures a model by size of batch and threads, and its settings stand on the curve', async () => {
  const tuning = (await measuredOf(models.mlp(1, [30, 64, 1]), { threadsMax: 2 }))!
  expect(tuning.curve.filter(({ threads }) => threads === 1).length).toBeGreaterThan(3)
  expect(tuning.curve[0]).toMatchObject({ threads: 1, rows: 1 })
  expect(tuning.curve.every(({ threads }) => threads <= 2)).toBe(true)
  const { threads, batchRows, rowUs } = tuning
  const point = tuning.curve.find(each => each.threads === threads && each.rows === batchRows)!
  expect(rowUs).toBeCloseTo(point.runUs / point.rows, 1)
  expect(tuning.loadMs).toBeGreaterThanOrEqual(0)
})

test('a model whose rows may not be joined is measured row by row', async () => {
  const tuning = (await measuredOf(models.crossTalk()))!
  expect(new Set(tuning.curve.map(({ rows }) => rows))).toEqual(new Set([1]))
  expect(tuning.batchRows).toBe(1)
})

test('a model that is ready stays so, however its measuring ends', async () => {
  // No time for it: nothing is measured, or a point or two.
  const tuning = await measuredOf(models.slow(200), { tuneMs: 0 })
  if (tuning) expect(tuning.batchRows).toBeGreaterThanOrEqual(1)
  const heard: Measured[] = []
  const task = {
    sizes: [1, 2, 4, 8],
    loadMs: 1,
    threadsMax: 1,
    budgetMs: 60_000,
    open: async () => (rows: number) => async () => {
      if (rows > 4) throw new Error('no more than four rows')
    },
    onMeasured: (measured: Measured) => void heard.push(structuredClone(measured)),
  }
  await expect(tune(task)).rejects.toThrow('no more than four rows')
  expect(heard.map(({ curve }) => curve.map(({ rows }) => rows))).toEqual([[1], [1, 2], [1, 2, 4]])
})

const HOP_US = 100
const rate = ({ rows, runUs }: CurvePoint) => rows / (runUs + HOP_US)
const curves = fc
  .array(fc.array(fc.integer({ min: 1, max: 400_000 }), { minLength: 1, maxLength: 11 }), {
    minLength: 1,
    maxLength: 4,
  })
  .map(all =>
    all.flatMap((runs, t) => runs.map((runUs, i) => ({ threads: 2 ** t, rows: 2 ** i, runUs }))),
  )

test('the batch chosen is the smallest that is nearly as good as the best, and holds nobody up', () =>
  fc.assert(
    fc.property(curves, curve => {
      const chosen = best(curve)
      const own = curve.filter(({ threads }) => threads === chosen.threads)
      const point = own.find(({ rows }) => rows === chosen.batchRows)!
      expect(point.rows === 1 || point.runUs <= 100_000).toBe(true)
      const quick = own.filter(({ rows, runUs }) => rows === 1 || runUs <= 100_000)
      const top = Math.max(...quick.map(rate))
      expect(rate(point)).toBeGreaterThanOrEqual(top * 0.95)
      for (const other of quick)
        if (other.rows < point.rows) expect(rate(other)).toBeLessThan(top * 0.95)
    }),
  ))

test('more threads are taken only where they are worth it', () => {
  const curve = (two: number) => [
    { threads: 1, rows: 1, runUs: 10_000 },
    { threads: 2, rows: 1, runUs: two },
  ]
  expect(best(curve(5_500)).threads).toBe(2)
  expect(best(curve(8_000)).threads).toBe(1)
  expect(best(curve(12_000)).threads).toBe(1)
})

test('cores that bring the requests are not taken for dividing runs', () => {
  const curve = (rowUs: number) => [
    { threads: 1, rows: 64, runUs: rowUs * 64 },
    { threads: 2, rows: 64, runUs: (rowUs * 64) / 1.8 },
  ]
  // Three thousand rows a second of one core leave less than another to divide their runs over.
  expect(best(curve(330)).threads).toBe(1)
  expect(best(curve(3_300)).threads).toBe(2)
})

test('a run that one thread ends at once is not divided, whatever was measured', () => {
  const curve = [1, 2].flatMap(threads =>
    [1, 64].map(rows => ({ threads, rows, runUs: (40 * rows ** 0.2) / threads ** 3 })),
  )
  expect(best(curve).threads).toBe(1)
})

test('settings hold on the class of hardware where they were measured, and on no other', () => {
  const tuning = { hardware: 'gpu', threads: 4, batchRows: 512, rowUs: 3 }
  const servable = { tuning } as Parameters<typeof settingsOn>[1]
  expect(settingsOn('gpu', servable)).toBe(tuning)
  expect(settingsOn('cpu', servable)).toBeUndefined()
})

test('shards are cut to about a second of work, whatever a row takes', () => {
  const limits = { rows: 5_000, bytes: 2 ** 23, shards: 4_096 }
  expect(shardLimits(limits, undefined)).toBe(limits)
  expect(shardLimits(limits, 0.2).rows).toBe(25_000)
  expect(shardLimits(limits, 494).rows).toBe(2_000)
  expect(shardLimits(limits, 1e6).rows).toBe(100)
})
