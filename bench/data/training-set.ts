/**
 * A training set: labels with the features that reads at their times would have had.
 *
 *   npm run bench -- training-set [--events 10000000] [--labels 1000000] [--dir folder]
 *
 * The work: a log of payments of 20,000 cards in 30 days (of them 1 % an hour late and 0.1 % taken back
 * two hours later), generated straight into Parquet, which is not timed; one label per question, at times
 * within the last three weeks; 20 features in four views with windows of an hour, a day and a week, and
 * the newest event; as served. `seconds` is from the call to the last byte of the result, `cpu_s` what the
 * process that does it spent of the processors, which tells more where others use them too; `rss_mb` the most
 * that it ever held.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { DuckDBInstance } from '@duckdb/node-api'
import { compileService, compileView } from '#core/features/compile.ts'
import { withTrainingSet } from '#gpu-runners/features/training-set.ts'
import type { ViewDefinition } from '#schemas/contracts/features.ts'
import type { EventType } from '#schemas/event.ts'
import type { ServicePlan } from '#schemas/feature.ts'

const { values } = parseArgs({
  args: process.argv.slice(3),
  options: {
    events: { type: 'string', default: '10000000' },
    labels: { type: 'string', default: '1000000' },
    dir: { type: 'string' },
  },
})
const CARDS = 20_000
const START = Date.UTC(2026, 0, 1) * 1_000
const SPAN = 30 * 86_400_000_000

const PAYMENT: EventType = {
  type: 'payment',
  version: 1,
  fields: {
    card: { type: 'string' },
    amount: { type: 'decimal', scale: 2 },
    merchant: { type: 'string' },
    country: { type: 'string' },
    online: { type: 'bool' },
  },
  entities: { card: 'card' },
  online_days: 60,
}
const views: Record<string, Pick<ViewDefinition, 'features' | 'filter'>> = {
  hour: {
    features: {
      payments: { agg: 'count', window: '1h' },
      spent: { agg: 'sum', of: 'amount', window: '1h' },
      largest: { agg: 'max', of: 'amount', window: '1h' },
      merchants: { agg: 'distinct', of: 'merchant', window: '1h' },
    },
  },
  day: {
    features: {
      payments: { agg: 'count', window: '1d' },
      spent: { agg: 'sum', of: 'amount', window: '1d' },
      mean: { agg: 'avg', of: 'amount', window: '1d' },
      spread: { agg: 'var', of: 'amount', window: '1d' },
      largest: { agg: 'max', of: 'amount', window: '1d' },
      smallest: { agg: 'min', of: 'amount', window: '1d' },
      merchants: { agg: 'distinct', of: 'merchant', window: '1d' },
      last_merchant: { agg: 'last', of: 'merchant', window: '1d' },
    },
  },
  online: {
    filter: 'online',
    features: {
      payments_1d: { agg: 'count', window: '1d', hop: '15m' },
      spent_1d: { agg: 'sum', of: 'amount', window: '1d', hop: '15m' },
      spent_7d: { agg: 'sum', of: 'amount', window: '7d', hop: '1h' },
    },
  },
  week: {
    features: {
      payments: { agg: 'count', window: '7d' },
      spent: { agg: 'sum', of: 'amount', window: '7d' },
      mean: { agg: 'avg', of: 'amount', window: '7d' },
      last_country: { agg: 'last', of: 'country', ttl: '30d' },
      last_amount: { agg: 'last', of: 'amount', ttl: '30d' },
    },
  },
}

const folder = mkdtempSync(join(values.dir ?? tmpdir(), 'galley-bench-'))
try {
  const files = {
    'log.parquet': join(folder, 'l.parquet'),
    'spine.parquet': join(folder, 's.parquet'),
  }
  await generate(files['log.parquet'], files['spine.parquet'])
  process.stdout.write('generated\n')
  const service = await serviceOf()
  const scratch = join(folder, 'scratch')
  mkdirSync(scratch)
  let rssMb = 0
  let cpuS = 0
  const timer = setInterval(() => {
    for (const child of children()) {
      rssMb = Math.max(rssMb, child.mb)
      cpuS = Math.max(cpuS, child.cpuS)
    }
  }, 50)
  const began = performance.now()
  const done = await withTrainingSet(
    scratch,
    {
      service,
      entities: { card: [[{ name: 'card', type: 'string' }]] },
      logs: { payment: "read_parquet('log.parquet')" },
      spine: { file: 'spine.parquet', format: 'parquet' },
      knowledge: { mode: 'as_served', asOf: null },
      statuses: false,
      files,
    },
    new AbortController().signal,
    async ({ rows, parts, bytes }) => {
      let size = 0
      for await (const chunk of bytes) size += chunk.length
      return { rows, parts, size }
    },
  )
  clearInterval(timer)
  const seconds = (performance.now() - began) / 1_000
  const line = {
    bench: 'training-set',
    labels: done.rows,
    features: service.features.length,
    events: Number(values.events),
    parts: done.parts,
    result_mb: Math.round(done.size / 1e6),
    seconds: Math.round(seconds * 10) / 10,
    cpu_s: Math.round(cpuS),
    rss_mb: Math.round(rssMb),
  }
  process.stdout.write(`${JSON.stringify(line)}\n`)
} finally {
  rmSync(folder, { recursive: true, force: true })
}

async function generate(log: string, spine: string): Promise<void> {
  const connection = await (await DuckDBInstance.create(':memory:', { threads: '2' })).connect()
  const time = `${START} + (hash(i + 1) % ${SPAN})::bigint`
  const late = 'if(hash(i + 3) % 100 = 0, 3600000000, 0)'
  await connection.run(`copy (select 'card' as entity, 'card-' || hash(i) % ${CARDS} as entity_key,
      ${time} as event_time, ${time} + (hash(i + 2) % 2000000)::bigint + ${late} as known_at, i as seq,
      if(hash(i + 4) % 1000 = 0, ${time} + 7200000000, null) as retracted_at,
      (hash(i + 5) % 100000)::bigint as f_amount, 'shop-' || hash(i + 6) % 500 as f_merchant,
      ['DE', 'FR', 'US', 'GB', 'NL'][1 + (hash(i + 7) % 5)::int] as f_country,
      hash(i + 8) % 3 = 0 as f_online
    from range(${values.events}) as r(i)) to '${log}' (format parquet)`)
  const asked = `${START + SPAN * 0.3} + (hash(i + 88) % ${SPAN * 0.7})::bigint`
  await connection.run(`copy (select 'card-' || hash(i + 77) % ${CARDS} as card,
      make_timestamptz((${asked})::bigint) as timestamp, hash(i) % 50 = 0 as label
    from range(${values.labels}) as r(i)) to '${spine}' (format parquet)`)
  connection.closeSync()
}

async function serviceOf(): Promise<ServicePlan> {
  const plans = new Map()
  for (const [name, { features, filter }] of Object.entries(views)) {
    const definition = { entity: 'card', event_type: 'payment', allowed_lateness: '2h', features }
    plans.set(name, await compileView(name, { ...definition, ...(filter && { filter }) }, PAYMENT))
  }
  const features = Object.keys(views).map(name => `${name}:*`)
  return compileService('bench', { features }, plans)
}

/** Of the processes that this one started: the most that they held, in MB, and seconds of the processors. */
function children(): { mb: number; cpuS: number }[] {
  try {
    const ids = readdirSync('/proc/self/task').flatMap(task =>
      readFileSync(`/proc/self/task/${task}/children`, 'utf8').trim().split(' ').filter(Boolean),
    )
    return ids.map(id => {
      const [, kb = '0'] = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${id}/status`, 'utf8')) ?? []
      const fields = readFileSync(`/proc/${id}/stat`, 'utf8').split(') ')[1]!.split(' ')
      return { mb: Number(kb) / 1_024, cpuS: (Number(fields[11]) + Number(fields[12])) / 100 }
    })
  } catch {
    // It ended in between.
    return []
  }
}
