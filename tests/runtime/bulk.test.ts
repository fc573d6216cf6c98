import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ShardInput } from '#core/jobs/jobs.ts'
import { planJsonl, type ShardLimits } from '#gpu-runners/bulk/plan.ts'
import type { LoadedModel } from '#gpu-runners/engines/engine.ts'
import { failsOnNegative, identity, mlp, stateful, twoPerRow } from '#tests/models.ts'
import {
  openWorkbench,
  parseLines,
  type Result,
  signature,
  spec,
  type Workbench,
} from './bulk-job.ts'

let bench: Workbench
let dense: LoadedModel
const x4 = spec('x', 'FP32', [-1, 4])

beforeAll(async () => {
  bench = await openWorkbench()
  dense = await bench.load(mlp(7, [4, 16, 3]), signature([x4], [spec('y', 'FP32', [-1, 3])]))
})
afterAll(() => bench.close())

const line = (value: unknown) => `${JSON.stringify(value)}\n`
const detail = (result: Result | undefined) => result?.error?.detail ?? JSON.stringify(result)
const numbers = (count: number, seed = 1) =>
  Array.from({ length: count }, (_, i) => Math.fround(Math.sin(i * 12.9898 + seed) * 10))
const rowsOf4 = (rows: number) => Array.from({ length: rows }, (_, i) => numbers(4, i))
async function direct(model: LoadedModel, x: number[]): Promise<number[]> {
  const data = Float32Array.from(x)
  const { outputs } = await model.run([{ name: 'x', datatype: 'FP32', shape: [1, 4], data }], ['y'])
  return [...(outputs[0]!.data as Float32Array)]
}

describe('JSONL', () => {
  test('results equal the engine run row by row, in order, wherever shards and batches are cut', async () => {
    const rows = rowsOf4(700)
    const expected = await Promise.all(rows.map(x => direct(dense, x)))
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 700 }),
        fc.integer({ min: 1, max: 40_000 }),
        fc.integer({ min: 1, max: 9 }),
        fc.constantFrom('\n', '\r\n', '\n\n', '\n \t\r\n'),
        async (limitRows, limitBytes, limitShards, ending) => {
          const text = rows
            .map((x, i) => JSON.stringify(i % 3 ? { x } : { id: i, x }) + ending)
            .join('')
          const sha256 = await bench.store(Buffer.from(text))
          const job = bench.job(dense, sha256)
          const limits: ShardLimits = { rows: limitRows, bytes: limitBytes, shards: limitShards }
          const plan = await planJsonl(
            bench.blobs,
            bench.fileKey(sha256),
            new AbortController().signal,
            limits,
          )
          expect(plan.shards.length).toBeLessThanOrEqual(limitShards + 1)
          checkSpans(plan.shards, rows.length, Buffer.byteLength(text))
          const { merged, shards } = await job.run({ kind: 'plan', ...plan })
          expect(parseLines(await bench.text(merged.key))).toEqual(
            expected.map((y, index) => ({
              index,
              ...(index % 3 ? {} : { id: index }),
              outputs: { y },
            })),
          )
          expect(shards.reduce((sum, shard) => sum + shard.bytesIn, 0)).toBe(
            plan.shards.reduce((sum, shard) => sum + shard.end - shard.start, 0),
          )
          expect(shards.every(shard => Number.isInteger(shard.computeUs))).toBe(true)
        },
      ),
      { numRuns: 12 },
    )
  })

  test('a bad row is reported by its index and none of its neighbours suffers', async () => {
    const model = await bench.load(failsOnNegative(), signature([x4], [spec('y', 'FP32', [-1, 4])]))
    const bad: Record<number, [string, RegExp]> = {
      0: ['{"x":[1,2,3]}', /shape \[3\]; the model takes \[4\]/],
      3: ['{"x":[1,2,3,"four"]}', /value 3 is "four"; it must be a number/],
      4: ['{"x":[1,2,3,4]', /not JSON/],
      7: ['[1,2,3,4]', /is an array; it must be an object with "x"/],
      8: ['{"id":"k8","y":[1,2,3,4]}', /Input "x" is missing/],
      9: ['{"x":[1,2,3,4],"z":1}', /Key "z" is no input/],
      300: ['{"x":[1,-2,3,4]}', /failed on this input/],
      301: ['{"x":[-1,-2,3,4]}', /failed on this input/],
      302: ['{"x":null}', /null/],
      303: ['{"x":[1e39,0,0,0]}', /within ±3\.4/],
      304: ['{"x":[[1,2],[3,4]]}', /nested as \[2,2\]|shape/],
      599: ['{"x":[1,2,3,4],"id":{}}', /"id" is an object/],
    }
    const lines = Array.from({ length: 600 }, (_, i) => bad[i]?.[0] ?? `{"x":[${i},2,3,4]}`)
    const sha256 = await bench.store(Buffer.from(lines.join('\n')))
    const { merged, shards } = await bench.job(model, sha256).run()
    const results = parseLines(await bench.text(merged.key))
    expect(results.map(result => result.index)).toEqual(lines.map((_, i) => i))
    for (const [index, result] of results.entries()) {
      const wrong = bad[index]
      if (!wrong) expect(result).toEqual({ index, outputs: { y: [index, 2, 3, 4] } })
      else {
        expect(detail(result)).toMatch(wrong[1])
        expect(result.error!.code).toBe(
          index === 300 || index === 301 ? 'inference_failed' : 'invalid_input',
        )
      }
    }
    expect(results[8]!.id).toBe('k8')
    expect(shards).toMatchObject([{ rowsDone: 600, rowsFailed: Object.keys(bad).length }])
  })

  test('a byte order mark, CRLF, blank lines and a missing last line end are not rows', async () => {
    const text = '\ufeff\r\n{"x":[1,2,3,4]}\r\n\r\n  \t\r\n{"x":[5,6,7,8]}\r\n\n{"x":[9,9,9,9]}'
    const results = await bench.results(dense, text)
    expect(results.map(r => [r.index, 'outputs' in r])).toEqual([
      [0, true],
      [1, true],
      [2, true],
    ])
    expect(await bench.results(dense, '\ufeff{"x":[1,2,3,4]}')).toHaveLength(1)
    expect(await bench.results(dense, '\r\n\n')).toEqual([])
    expect(await bench.results(dense, '')).toEqual([])
  })

  test('a line past 16 MiB and bytes that are no UTF-8 are error rows, and their neighbours succeed', async () => {
    const good = Buffer.from(line({ x: [1, 2, 3, 4] }))
    const long = Buffer.alloc(17 * 2 ** 20, ' ')
    long.write('{"x":[1', 0)
    const text = Buffer.concat([
      good,
      long,
      Buffer.from('\n'),
      good,
      Buffer.from('{"x":"\xff"}\n', 'latin1'),
      good,
    ])
    const results = await bench.results(dense, text)
    expect(results.map(r => r.error?.detail ?? 'ok')).toEqual([
      'ok',
      expect.stringMatching(/longer than 16777216 bytes/),
      'ok',
      expect.stringMatching(/UTF-8/),
      'ok',
    ])
  })

  test('64-bit integers keep all their digits both ways, and so do ids', async () => {
    const model = await bench.load(
      identity('INT64'),
      signature([spec('INPUT0', 'INT64', [-1, -1])], [spec('OUTPUT0', 'INT64', [-1, -1])]),
    )
    const text =
      '{"INPUT0":[9007199254740993,-9223372036854775808,"9223372036854775807",1],"id":12345678901234567890}\n{"INPUT0":[9223372036854775808]}\n'
    const sha256 = await bench.store(Buffer.from(text))
    const { merged } = await bench.job(model, sha256).run()
    const [first, second] = (await bench.text(merged.key)).split('\n')
    expect(first).toBe(
      '{"index":0,"id":12345678901234567890,"outputs":{"OUTPUT0":[9007199254740993,-9223372036854775808,9223372036854775807,1]}}',
    )
    expect(second).toMatch(/fits INT64/)
  })

  test('every datatype with a form in JSON comes back as it went in', async () => {
    const values: Record<string, unknown[]> = {
      FP32: [0.5, -1.25, 'NaN', '-Infinity'],
      FP64: [0.1, 1e300, 'Infinity'],
      FP16: [0.5, 65504, 'NaN'],
      BOOL: [true, false],
      UINT8: [0, 255],
      INT16: [-32768, 32767],
      UINT64: [1, 2],
      BYTES: ['a', 'é"'],
    }
    for (const [datatype, row] of Object.entries(values)) {
      const [input, output] = (['INPUT0', 'OUTPUT0'] as const).map(name =>
        spec(name, datatype as 'FP32', [-1, -1]),
      )
      const model = await bench.load(identity(datatype as 'FP32'), signature([input!], [output!]))
      const results = await bench.results(model, line({ INPUT0: row }) + line({ INPUT0: [] }))
      expect(results.map(r => r.outputs?.OUTPUT0 ?? r.error)).toEqual([row, []])
    }
  })

  test('rows of different shapes run together with their like and come out in the order of the input', async () => {
    const model = await bench.load(
      identity('FP32'),
      signature([spec('INPUT0', 'FP32', [-1, -1])], [spec('OUTPUT0', 'FP32', [-1, -1])]),
    )
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 2_000 }),
        async sizes => {
          const text = sizes.map((size, i) => line({ INPUT0: numbers(size, i) })).join('')
          const results = await bench.results(model, text)
          expect(results).toEqual(
            sizes.map((size, index) => ({ index, outputs: { OUTPUT0: numbers(size, index) } })),
          )
        },
      ),
      { numRuns: 6 },
    )
  })

  test('state on another axis and a scalar for all rows are each row’s own', async () => {
    const model = await bench.load(
      stateful(),
      signature(
        [x4, spec('state', 'FP32', [2, -1, 4], 1), spec('gain', 'FP32', [])],
        [spec('y', 'FP32', [-1, 4]), spec('state_out', 'FP32', [2, -1, 4], 1)],
      ),
    )
    const given = Array.from({ length: 300 }, (_, i) => ({
      x: [i, 1, 2, 3],
      state: i % 2 ? [numbers(4, i), numbers(4, -i)] : [...numbers(4, i), ...numbers(4, -i)],
      gain: i % 3,
    }))
    const results = await bench.results(model, given.map(line).join(''))
    results.forEach((result, i) => {
      const { x, gain } = given[i]!
      const step = x.map(value => value * gain)
      const states = [numbers(4, i), numbers(4, -i)].map(s =>
        s.map((v, d) => Math.fround(v + step[d]!)),
      )
      expect(result.outputs!.state_out).toEqual(states)
      expect(result.outputs!.y).toEqual(states[0]!.map((v, d) => Math.fround(v + states[1]![d]!)))
    })
  })

  test('a model without a row axis gets each row whole, and one with crosstalk gets rows alone', async () => {
    const free = await bench.load(
      identity('FP32', ['a', 'b']),
      signature(
        [spec('INPUT0', 'FP32', [-1, -1], null)],
        [spec('OUTPUT0', 'FP32', [-1, -1], null)],
        'unbatched',
      ),
    )
    const rows = [
      [
        [1, 2],
        [3, 4],
      ],
      [[5]],
      [
        [6, 7],
        [8, 9],
      ],
    ]
    const results = await bench.results(free, rows.map(INPUT0 => line({ INPUT0 })).join(''))
    expect(results.map(r => r.outputs!.OUTPUT0)).toEqual(rows)
    const doubled = await bench.load(
      twoPerRow(),
      signature([x4], [spec('y', 'FP32', [-1, 2], null)], 'unbatched'),
    )
    const pairs = await bench.results(
      doubled,
      line({ x: [1, 2, 3, 4] }) + line({ x: [5, 6, 7, 8] }),
    )
    expect(pairs.map(r => r.outputs!.y)).toEqual([
      [
        [1, 2],
        [3, 4],
      ],
      [
        [5, 6],
        [7, 8],
      ],
    ])
  })

  test('a file of another kind is refused as a whole, in words that say what it is', async () => {
    const sha256 = await bench.store(Buffer.from('PAR1....'))
    await expect(bench.job(dense, sha256).plan()).rejects.toMatchObject({
      code: 'invalid_body',
      public: expect.stringMatching(/Parquet/),
    })
  })

  test('an abort ends a shard, and nothing of it stays behind', async () => {
    const rows = Array.from({ length: 5_000 }, () => line({ x: [1, 2, 3, 4] })).join('')
    const sha256 = await bench.store(Buffer.from(rows))
    const abort = new AbortController()
    let runs = 0
    const counting: LoadedModel = {
      ...dense,
      run(...given) {
        if (++runs === 3) abort.abort(new Error('preempted'))
        return dense.run(...given)
      },
    }
    const job = bench.job(counting, sha256)
    const { shards } = await job.plan()
    await expect(job.shard(0, shards[0]!, abort.signal)).rejects.toThrow('preempted')
    expect(runs).toBeLessThan(6)
    expect(await bench.blobs.list(job.prefix)).toEqual([])
    expect((await bench.job(dense, sha256).run()).shards[0]!.rowsDone).toBe(5_000)
  })
})

function checkSpans(shards: ShardInput[], rows: number, bytes: number): void {
  let row = 0
  let at = 0
  for (const shard of shards) {
    expect(shard.row).toBe(row)
    expect(shard.start).toBeGreaterThanOrEqual(at)
    row += shard.rows
    at = shard.end
  }
  expect(row).toBe(rows)
  expect(at).toBeLessThanOrEqual(bytes)
}
