/**
 * `npm run demo -- loans`: the flow of the fraud example on a real imbalanced table, with a logistic
 * regression beside the network. Exit code 1 unless every decision is the same when it is made again and
 * the scores are far better than chance.
 *
 *   --rows 9857    so many of the table's
 *   --edge node    or workerd
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import * as ort from 'onnxruntime-node'
import { Galley } from '#sdk/client.ts'
import {
  applicationEvent,
  EVENT_TYPES,
  endpoint,
  FOLDS,
  type Loan,
  ROW,
  readLoans,
  SERVICE,
  VIEWS,
} from '../../examples/fraud/loans/loans.ts'
import { quality } from '../../examples/fraud/measure.ts'
import { fit, type Rows, toOnnx } from '../../examples/fraud/network.ts'
import { type Product, startProduct } from '../product.ts'
import { measureSkew, replaySample } from './again.ts'
import { decide, recordsOf, tellLabels } from './decide.ts'
import { count } from './scene.ts'
import { sendEvents } from './send.ts'
import { columnsOf } from './table.ts'
import { makeTrainingSet } from './training-set.ts'
import { edgeOf, rounded, wholeOf } from './values.ts'

const KINDS = {
  network: { hidden: [8], epochs: 25 },
  logistic: { hidden: [], epochs: 40 },
} as const
type Kind = keyof typeof KINDS

const SEED = 7
const BALANCE = 5
const AUC_MIN = 0.6
const RATE = 100

const { values } = parseArgs({
  args: process.argv.slice(3),
  options: {
    rows: { type: 'string', default: '9857' },
    edge: { type: 'string', default: 'node' },
  },
})
const began = performance.now()
const folder = mkdtempSync(join(tmpdir(), 'galley-loans-'))
let product: Product | null = null
try {
  product = await startProduct({ edge: edgeOf(values.edge) })
  await run(product, new Galley({ baseUrl: product.url, key: product.key }))
} finally {
  await product?.stop()
  rmSync(folder, { recursive: true, force: true })
}

async function run(product: Product, galley: Galley): Promise<void> {
  const loans = readLoans().slice(0, wholeOf('rows', values.rows))
  const bad = loans.filter(({ isBad }) => isBad).length
  say(`${count(loans.length)} loans, ${bad} of them bad; applications are told`)
  await declare(galley)
  await sendEvents(galley, loans, applicationEvent)
  const rows = await rowsOf(galley, loans)
  say('a training set is made: each loan as it was when its offer was asked for')

  const measured = {} as Record<Kind, ReturnType<typeof quality>>
  for (const kind of Object.keys(KINDS) as Kind[]) {
    const scores = await outOfFold(rows, kind)
    measured[kind] = quality(scores.map((score, i) => ({ score, label: rows.labels[i]! })))
    const { auc, average_precision } = measured[kind]
    say(`  ${kind}: AUC ${auc.toFixed(4)}, average precision ${average_precision.toFixed(4)}`)
  }

  const network = networkOf(rows, i => i % FOLDS < FOLDS - 2)
  await galley.publish('loans', { 'loans.onnx': network })
  const chosen = loans.map((_, i) => i).filter(i => i % FOLDS === FOLDS - 2)
  const scores = (await scoresOf(network, rows, chosen)).sort((a, b) => b - a)
  const body = endpoint({ review: scores[Math.floor(scores.length / 10)]! })
  await galley.request('endpoints.apply', { params: { endpoint: 'loans' }, body })
  const held = loans.filter((_, i) => i % FOLDS === FOLDS - 1)
  say(`${count(held.length)} offers are decided, ${RATE} a second`)
  const asked = held.map(({ id, isBad }) => ({ id, isBad, data: { loan_id: id } }))
  const { load, decided } = await decide(product, asked, { endpoint: 'loans', rate: RATE, folder })
  const records = await recordsOf(galley, 'loans', decided)
  const labels = decided.map(({ id, isBad }) => ({ id, label: isBad }))
  await tellLabels(galley, 'loans', labels)

  const common = { service: 'loans', views: VIEWS, records, folder }
  const skew = await measureSkew(galley, decided, common)
  for (const example of skew.examples) say(`  ${example}`)
  const replays = await replaySample(product, galley, { endpoint: 'loans', decided })
  const replayed_equal = replays.equal === replays.asked
  const live = quality(
    decided.map(({ reply, isBad }) => ({ score: reply.score!, label: Number(isBad) })),
  )
  const reviewed = decided.filter(({ reply }) => reply.decision === 'review')
  const { network: ours, logistic } = measured
  const ok = skew.mismatches === 0 && replayed_equal && ours.auc >= AUC_MIN
  const line = {
    demo: 'loans',
    ok,
    rows: loans.length,
    bad,
    auc: rounded(ours.auc),
    pr_auc: rounded(ours.average_precision),
    logistic_auc: rounded(logistic.auc),
    logistic_pr_auc: rounded(logistic.average_precision),
    majority_auc: 0.5,
    majority_pr_auc: rounded(bad / loans.length),
    decisions: decided.length,
    held_auc: rounded(live.auc),
    reviewed: reviewed.length,
    reviewed_bad: reviewed.filter(({ isBad }) => isBad).length,
    held_bad: held.filter(({ isBad }) => isBad).length,
    p99_ms: load.p99_ms,
    skew: skew.mismatches,
    compared: skew.compared,
    replayed_equal,
    seconds: Math.round((performance.now() - began) / 1_000),
  }
  process.stdout.write(`${JSON.stringify(line)}\n`)
  if (!ok) process.exitCode = 1
}

async function declare(galley: Galley): Promise<void> {
  for (const [type, body] of Object.entries(EVENT_TYPES)) {
    await galley.request('event_types.declare', { params: { type }, body })
  }
  for (const [view, body] of Object.entries(VIEWS)) {
    await galley.request('views.apply', { params: { view }, body })
  }
  await galley.request('services.apply', { params: { service: 'loans' }, body: SERVICE })
}

/** In the order of the table. */
async function rowsOf(galley: Galley, loans: readonly Loan[]): Promise<Rows> {
  const path = join(folder, 'loans.parquet')
  // Applications were known the moment that they were told: a second later is after all of them.
  await sleep(1_000)
  const timestamp = new Date().toISOString()
  const questions = loans.map(({ id, isBad }) => ({ loan_id: id, timestamp, bad: isBad }))
  await makeTrainingSet(galley, { service: 'loans', questions, mode: 'as_served' }, path)
  const shown = ROW.map(name => `coalesce(${name.replace('.', '__')}, 0)::float`)
  const [labels, ...values] = await columnsOf(
    `select bad, ${shown.join(', ')} from read_parquet('${path}')`,
  )
  const rows = new Float32Array(loans.length * ROW.length)
  for (const [j, column] of values.entries()) {
    for (const [i, value] of column.entries()) rows[i * ROW.length + j] = value as number
  }
  return { rows, width: ROW.length, labels: Uint8Array.from(labels!, Number) }
}

/** Each row's score by a model that was fitted without its fold. */
async function outOfFold(rows: Rows, kind: Kind): Promise<number[]> {
  const scores = new Array<number>(rows.labels.length)
  for (let fold = 0; fold < FOLDS; fold++) {
    const bytes = networkOf(rows, i => i % FOLDS !== fold, kind)
    const held = [...scores.keys()].filter(i => i % FOLDS === fold)
    const found = await scoresOf(bytes, rows, held)
    for (const [j, i] of held.entries()) scores[i] = found[j]!
  }
  return scores
}

function networkOf(rows: Rows, isLearned: (i: number) => boolean, kind: Kind = 'network') {
  const learned = [...rows.labels.keys()].filter(isLearned)
  const labels = Uint8Array.from(learned, i => rows.labels[i]!)
  const some = { rows: picked(rows, learned), width: rows.width, labels }
  return toOnnx(fit(some, { seed: SEED, balance: BALANCE, ...KINDS[kind] }))
}

async function scoresOf(bytes: Uint8Array, rows: Rows, of: readonly number[]): Promise<number[]> {
  const session = await ort.InferenceSession.create(bytes)
  const features = new ort.Tensor('float32', picked(rows, of), [of.length, rows.width])
  const { score } = await session.run({ features })
  return [...(score!.data as Float32Array)]
}

function picked({ rows, width }: Rows, of: readonly number[]): Float32Array {
  const some = new Float32Array(of.length * width)
  for (const [j, i] of of.entries()) some.set(rows.subarray(i * width, (i + 1) * width), j * width)
  return some
}

function say(line: string): void {
  const seconds = ((performance.now() - began) / 1_000).toFixed(0).padStart(4)
  process.stdout.write(`${seconds} s  ${line}\n`)
}
