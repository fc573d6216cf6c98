/**
 * `npm run demo -- fraud`: from a month of payments to decisions in milliseconds, through the public API
 * alone. Exit code 1 unless every decision is the same when it is made again, and what has just happened
 * (velocity) makes the model better by 0.05 of AUC.
 *
 *   --transactions 1000000  --cards 20000  --seed 7   the world
 *   --rate 100  --seconds 30  --attacks 60             the rush that is decided live; attacks of each kind
 *   --edge node                                        or workerd
 *   --output <folder>                                  writes report.json and pictures there
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { writePictures } from '../../examples/fraud/pictures.ts'
import { type Product, startProduct } from '../product.ts'
import { runFraud } from './run.ts'
import { edgeOf, rounded, wholeOf } from './values.ts'

const AUC_GAIN_MIN = 0.05

const { values } = parseArgs({
  args: process.argv.slice(3),
  options: {
    transactions: { type: 'string', default: '1000000' },
    cards: { type: 'string', default: '20000' },
    seed: { type: 'string', default: '7' },
    rate: { type: 'string', default: '100' },
    seconds: { type: 'string', default: '30' },
    attacks: { type: 'string', default: '60' },
    edge: { type: 'string', default: 'node' },
    output: { type: 'string' },
  },
})
const folder = mkdtempSync(join(tmpdir(), 'galley-fraud-'))
let product: Product | null = null
try {
  product = await startProduct({ edge: edgeOf(values.edge) })
  const done = await runFraud(product, folder, {
    transactions: wholeOf('transactions', values.transactions),
    cards: wholeOf('cards', values.cards),
    seed: wholeOf('seed', values.seed),
    rate: wholeOf('rate', values.rate),
    seconds: wholeOf('seconds', values.seconds),
    attacks: wholeOf('attacks', values.attacks),
  })
  if (values.output !== undefined) {
    mkdirSync(values.output, { recursive: true })
    writeFileSync(join(values.output, 'report.json'), `${JSON.stringify(done.report)}\n`)
    writePictures(done.report, values.output)
  }
  const { velocity, plain } = done.report.models
  const auc_gain = velocity.auc - plain.auc
  const replayed_equal = done.replays.equal === done.replays.asked
  const ok = done.skew.mismatches === 0 && replayed_equal && auc_gain >= AUC_GAIN_MIN
  const line = {
    demo: 'fraud',
    ok,
    decisions: done.report.live.decisions,
    p99_ms: done.report.latency.p99_ms,
    skew: done.skew.mismatches,
    auc: rounded(velocity.auc),
    auc_gain: rounded(auc_gain),
    replayed_equal,
    transactions: done.report.transactions,
    frauds: done.report.frauds,
    events_per_s: done.report.events_per_s,
    compared: done.skew.compared,
    replayed: done.replays.asked,
    live_auc: rounded(done.report.live.auc),
    seconds: done.seconds,
  }
  process.stdout.write(`${JSON.stringify(line)}\n`)
  if (!ok) process.exitCode = 1
} finally {
  await product?.stop()
  rmSync(folder, { recursive: true, force: true })
}
