/** The fraud example from its first event to its last label, on a running product. */
import { cheapest, costOf } from '../../examples/fraud/costs.ts'
import { EVENT_TYPES, endpoint, SERVICE, VIEWS } from '../../examples/fraud/definitions.ts'
import { timeText } from '../../examples/fraud/events.ts'
import { quality } from '../../examples/fraud/measure.ts'
import { binned, type Kind, modelReport, type Report } from '../../examples/fraud/report.ts'
import type { Product } from '../product.ts'
import { measureSkew, type Replays, replaySample, type Skew } from './again.ts'
import { recordsOf, tellLabels } from './decide.ts'
import { learn, makeHistorySet, type Scored, score } from './learn.ts'
import { decideLive, type Live, type PaymentDecided } from './live.ts'
import { count, DAYS, makeScene, type Scene, type Size, SPANS } from './scene.ts'
import { sendHistory } from './send.ts'

export type Show = Size & { rate: number; seconds: number; attacks: number }
export type Done = {
  report: Report
  skew: Skew
  replays: Replays
  seconds: number
}

const KINDS: Kind[] = ['plain', 'velocity']

/** `folder`: for files on the way. */
export async function runFraud(product: Product, folder: string, show: Show): Promise<Done> {
  const began = performance.now()
  const say = (line: string) => {
    const seconds = ((performance.now() - began) / 1_000).toFixed(0).padStart(4)
    process.stdout.write(`${seconds} s  ${line}\n`)
  }
  const scene = makeScene(product, show, say)
  const { stream, past, world } = scene
  const frauds = stream.slice(0, past).filter(({ attack }) => attack !== null).length
  say(
    `a month of ${count(world.cards.length)} cards at ${count(world.merchants.length)} shops: ${count(past)} payments, ${count(frauds)} frauds`,
  )
  await declare(scene)
  say('declared: 3 event types, 5 feature views, 1 service; history is told')
  const told = await sendHistory(scene)
  const eventsPerS = Math.round(told.events / told.seconds)
  say(`${count(told.events)} events are durable and in features, ${count(eventsPerS)}/s`)

  say('a training set is made: each payment with its features as of its time')
  const set = await makeHistorySet(scene, folder)
  const scores = {} as Record<Kind, { choose: Scored[]; held: Scored[] }>
  for (const kind of KINDS) {
    await learn(scene, set, kind)
    scores[kind] = await score(scene, set, kind, folder)
  }
  const models = {} as Report['models']
  for (const kind of KINDS) {
    models[kind] = modelReport(scores[kind].held, cheapest(scores[kind].choose))
    const { auc, average_precision, recall_at_1_in_1000, cost } = models[kind]
    say(
      `  ${kind.padEnd(8)} AUC ${auc.toFixed(4)}, average precision ${average_precision.toFixed(3)}, ${percent(recall_at_1_in_1000)} caught at one false alarm in a thousand, cost ${count(Math.round(cost))}`,
    )
  }

  const { params, body } = {
    params: { endpoint: 'fraud' },
    body: endpoint(models.velocity.thresholds),
  }
  await scene.galley.request('endpoints.apply', { params, body })
  say(`${count(show.rate)} payments a second are decided for ${show.seconds} s by another process`)
  const live = await decideLive(scene, folder, show)
  say(`  p50 ${live.load.p50_ms} ms, p99 ${live.load.p99_ms} ms, longest ${live.load.max_ms} ms`)
  const records = await recordsOf(scene.galley, 'fraud', live.decided)
  await tellLabels(scene.galley, 'fraud', live.decided.map(labelOf(scene)))
  say(`${count(live.decided.length)} labels are told`)

  const asked = { service: 'fraud', views: VIEWS, records, folder }
  const skew = await measureSkew(scene.galley, live.decided, asked)
  say(
    `${count(skew.compared)} features of decisions compared with a training set: ${skew.mismatches} differ`,
  )
  for (const example of skew.examples) say(`  ${example}`)
  const again = { endpoint: 'fraud', decided: live.decided }
  const replays = await replaySample(product, scene.galley, again)
  say(`${replays.equal} of ${replays.asked} decisions are the same to the bit when made again`)

  const { held } = scores.velocity
  const report: Report = {
    transactions: past,
    cards: world.cards.length,
    shops: world.merchants.length,
    seed: show.seed,
    frauds,
    events_per_s: eventsPerS,
    held: {
      payments: held.length,
      frauds: held.filter(({ label }) => label === 1).length,
      days: DAYS - SPANS.heldOut,
      cost_without_model: held.reduce((sum, each) => sum + costOf(each, NEVER), 0),
    },
    models,
    latency: latencyOf(live, show),
    answers: answersOf(live.decided),
    live: liveOf(live.decided),
  }
  return { report, skew, replays, seconds: Math.round((performance.now() - began) / 1_000) }
}

const NEVER = { review: Number.POSITIVE_INFINITY, decline: Number.POSITIVE_INFINITY }

async function declare({ galley }: Scene): Promise<void> {
  for (const [type, body] of Object.entries(EVENT_TYPES)) {
    await galley.request('event_types.declare', { params: { type }, body })
  }
  for (const [view, body] of Object.entries(VIEWS)) {
    await galley.request('views.apply', { params: { view }, body })
  }
  await galley.request('services.apply', { params: { service: 'fraud' }, body: SERVICE })
}

/** Weeks later it is known what a payment was. */
function labelOf({ shift }: Scene) {
  return ({ id, payment }: PaymentDecided) => ({
    id,
    label: payment.attack !== null,
    at: timeText(payment.labelTime + shift),
  })
}

function latencyOf({ load, measured }: Live, { rate, seconds }: Show): Report['latency'] {
  const { p50_ms, p90_ms, p99_ms, max_ms } = load
  const bins = binned(measured.map(({ ms }) => ms))
  return { rate, seconds, p50_ms, p90_ms, p99_ms, max_ms, bins }
}

function answersOf(decided: readonly PaymentDecided[]): Report['answers'] {
  const answers: Report['answers'] = {}
  for (const { payment, reply } of decided) {
    const pattern = payment.attack ?? 'honest'
    const row = answers[pattern] ?? {}
    answers[pattern] = { ...row, [reply.decision]: (row[reply.decision] ?? 0) + 1 }
  }
  return answers
}

function liveOf(decided: readonly PaymentDecided[]): Report['live'] {
  const scored = decided.map(({ payment, reply }) => ({
    score: reply.score!,
    label: payment.attack === null ? 0 : 1,
  }))
  const frauds = scored.filter(({ label }) => label === 1).length
  return { decisions: decided.length, frauds, auc: quality(scored).auc }
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`
}
