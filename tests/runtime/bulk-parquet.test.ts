import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { columnsOf, planParquet } from '#gpu-runners/bulk/parquet/parquet.ts'
import type { LoadedModel } from '#gpu-runners/engines/engine.ts'
import { identity, mlp } from '#tests/models.ts'
import { openWorkbench, signature, spec, type Workbench } from './bulk-job.ts'

let bench: Workbench
let dense: LoadedModel

beforeAll(async () => {
  bench = await openWorkbench()
  const [x, y] = [spec('x', 'FP32', [-1, 4]), spec('y', 'FP32', [-1, 3])]
  dense = await bench.load(mlp(7, [4, 16, 3]), signature([x], [y]))
})
afterAll(() => bench.close())

async function sql(query: string): Promise<Record<string, any>[]> {
  const database = await DuckDBInstance.create(':memory:', { threads: '1' })
  const connection = await database.connect()
  try {
    return (await (await connection.runAndReadAll(query)).getRowObjectsJS()) as never
  } finally {
    connection.closeSync()
    database.closeSync()
  }
}

async function parquet(query: string, options = ''): Promise<string> {
  const path = join(bench.root, `${Math.random()}.parquet`)
  await sql(`copy (${query}) to '${path}' (format parquet${options})`)
  const { createReadStream } = await import('node:fs')
  return bench.store(createReadStream(path))
}

async function rowsOf(key: string) {
  return sql(`select * from read_parquet('${await bench.blobs.localFile(key)}')`)
}

const SQL_X = '[sin(i)::float, cos(i)::float, (i % 7)::float, 0.1::float]'

test('results of a file of several row groups equal the engine run row by row, in order', async () => {
  const rows = 7_000
  const sha256 = await parquet(
    `select 'extra' as note, ${SQL_X} as x from range(${rows}) t(i)`,
    ', row_group_size 2048',
  )
  const path = await bench.blobs.localFile(bench.fileKey(sha256))
  const limits = { rows: 1_500, bytes: 2 ** 20, shards: 4_096 }
  const signal = new AbortController().signal
  const plan = await planParquet(bench.scratch, path, dense.signature, signal, limits)
  expect(plan.rows).toBe(rows)
  expect(plan.shards.map(shard => shard.start)).toEqual([0, 1024, 2048, 3072, 4096, 5120, 6144])
  const job = bench.job(dense, sha256, 'parquet')
  const { merged, shards } = await job.run({ kind: 'plan', ...plan })
  expect(shards.reduce((sum, shard) => sum + shard.rowsDone, 0)).toBe(rows)
  const given = await sql(`select x from read_parquet('${path}')`)
  const data = Float32Array.from(given.flatMap(row => row.x))
  const input = { name: 'x', datatype: 'FP32', shape: [rows, 4], data } as const
  const { outputs } = await dense.run([{ ...input, shape: [rows, 4] }], ['y'])
  const results = await rowsOf(merged.key)
  expect(results.map(row => row.index)).toEqual(given.map((_, i) => BigInt(i)))
  expect(Float32Array.from(results.flatMap(row => row.y))).toEqual(outputs[0]!.data)
  expect(results.every(row => row.error === null)).toBe(true)
  expect(await bench.leftovers()).toEqual([])
})

test('a bad row is reported in its place, in the column error', async () => {
  const sha256 = await parquet(
    `select case i when 5 then null when 9 then [1, 2] else [i, 1, 2, 3] end as x from range(12) t(i)`,
  )
  const { merged, shards } = await bench.job(dense, sha256, 'parquet').run()
  const results = await rowsOf(merged.key)
  expect(results.filter(row => row.error).map(row => [row.index, row.y, row.error])).toEqual([
    [5n, null, expect.stringMatching(/^invalid_input: .*null/)],
    [9n, null, expect.stringMatching(/^invalid_input: .*shape \[2\]/)],
  ])
  expect(shards).toMatchObject([{ rowsDone: 12, rowsFailed: 2 }])
})

test('every datatype keeps its bits and its column type', async () => {
  const cases = [
    ['INT64', '[9007199254740993, -9223372036854775808]::bigint[]', 'BIGINT[]'],
    ['UINT64', '[18446744073709551615, 1]::ubigint[]', 'UBIGINT[]'],
    ['FP32', "[0.1, 'nan', '-infinity', -0.0, 1e-45]::float[]", 'FLOAT[]'],
    ['FP64', "[0.1, 1e300, 5e-324, 'infinity']::double[]", 'DOUBLE[]'],
    ['BOOL', '[true, false]', 'BOOLEAN[]'],
    ['INT8', '[-128, 127]::tinyint[]', 'TINYINT[]'],
    ['BYTES', "['a', 'é\"\n']", 'VARCHAR[]'],
  ] as const
  for (const [datatype, value, type] of cases) {
    const model = await bench.load(
      identity(datatype),
      signature([spec('INPUT0', datatype, [-1, -1])], [spec('OUTPUT0', datatype, [-1, -1])]),
    )
    const sha256 = await parquet(`select ${value} as "INPUT0" from range(3)`)
    const { merged } = await bench.job(model, sha256, 'parquet').run()
    const path = await bench.blobs.localFile(merged.key)
    const [first] = await sql(
      `select typeof("OUTPUT0") as type, "OUTPUT0"::varchar = (${value}::${type})::varchar as same from read_parquet('${path}')`,
    )
    expect([datatype, first!.type, first!.same]).toEqual([datatype, type, true])
  }
})

test('a scalar a row is a scalar column, and names that clash are told apart', async () => {
  const model = await bench.load(
    identity('FP32', ['batch']),
    signature([spec('INPUT0', 'FP32', [-1])], [{ ...spec('OUTPUT0', 'FP32', [-1]) }]),
  )
  const sha256 = await parquet(`select i::float as "INPUT0" from range(4) t(i)`)
  const { merged } = await bench.job(model, sha256, 'parquet').run()
  expect(await rowsOf(merged.key)).toEqual(
    [0, 1, 2, 3].map(i => ({ index: BigInt(i), OUTPUT0: i, error: null })),
  )
  const clashing = ['index', 'Error', 'y', 'Y'].map(name => spec(name, 'INT64', [-1, 2, -1]))
  expect(columnsOf(signature([], clashing)).map(column => [column.name, column.type])).toEqual([
    ['index_', 'BIGINT[][]'],
    ['Error_', 'BIGINT[][]'],
    ['y', 'BIGINT[][]'],
    ['Y_', 'BIGINT[][]'],
  ])
})

test('an input without rows gives a result without rows, with all its columns', async () => {
  const sha256 = await parquet(`select ${SQL_X} as x from range(0) t(i)`)
  const { plan, merged } = await bench.job(dense, sha256, 'parquet').run()
  expect(plan).toMatchObject({ rows: 0, shards: [] })
  const path = await bench.blobs.localFile(merged.key)
  const columns = await sql(`describe select * from read_parquet('${path}')`)
  expect(columns.map(c => [c.column_name, c.column_type])).toEqual([
    ['index', 'BIGINT'],
    ['y', 'FLOAT[]'],
    ['error', 'VARCHAR'],
  ])
})

test('what is not Parquet, is cut short or lacks a column is refused as a whole, and says so', async () => {
  const whole = await parquet(`select ${SQL_X} as x from range(5000) t(i)`)
  const bytes = await bench.bytes(bench.fileKey(whole))
  const refused = async (content: Uint8Array) => {
    const sha256 = await bench.store(content)
    return bench
      .job(dense, sha256, 'parquet')
      .plan()
      .catch(error => [error.code, error.public])
  }
  const unreadable = [
    'invalid_body',
    expect.stringMatching(/^The input cannot be read as Parquet: /),
  ]
  expect(await refused(Buffer.from('{"x":[1,2,3,4]}\n'))).toEqual(unreadable)
  expect(await refused(bytes.subarray(0, bytes.length - 100))).toEqual(unreadable)
  const other = await parquet('select 1 as "X", 2 as z')
  await expect(bench.job(dense, other, 'parquet').plan()).rejects.toMatchObject({
    code: 'invalid_body',
    public: 'The input has no column "x", which the model takes; it has "X", "z".',
  })
  // Damaged between its ends: found by the shard that reads there.
  const hurt = Uint8Array.from(bytes)
  hurt.fill(0xff, 40, Math.floor(bytes.length / 2))
  await expect(bench.job(dense, await bench.store(hurt), 'parquet').run()).rejects.toMatchObject({
    code: 'invalid_body',
  })
  expect(await bench.leftovers()).toEqual([])
})

test('an abort ends the reading of a file', async () => {
  const sha256 = await parquet(`select ${SQL_X} as x from range(100000) t(i)`)
  const abort = new AbortController()
  const plan = bench.job(dense, sha256, 'parquet').plan(abort.signal)
  setImmediate(() => abort.abort(new Error('canceled')))
  await expect(plan).rejects.toThrow('canceled')
  expect(await bench.leftovers()).toEqual([])
})
