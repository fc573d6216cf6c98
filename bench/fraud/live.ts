/** A busy minute of payments, decided at a stated rate for callers in another process, and their labels. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Item, Reply } from '#sdk/client.ts'
import { dataOf, timeText } from '../../examples/fraud/events.ts'
import { busyMinute } from '../../examples/fraud/live.ts'
import type { Payment } from '../../examples/fraud/payment.ts'
import { type OpenLoad, openLoad } from '../live/load-open.ts'
import { tell } from './history.ts'
import { count, type Scene } from './scene.ts'
import type { Answer } from './work/requests.ts'

export type Decided = { payment: Payment; ms: number; reply: Reply<'decisions.decide'> }
export type Live = { load: OpenLoad; decided: Decided[] }
export type Recorded = Item<'decisions.list'>

const LOGGED_WITHIN_MS = 60_000
const FEEDBACK_SENDERS = 8
/** Nobody has read a feature or asked the model before: processes warm up on requests of their own. */
const WARM = { seconds: 3, rate: 50 }

export async function decideLive(
  scene: Scene,
  folder: string,
  o: { rate: number; seconds: number; attacks: number },
): Promise<Live> {
  const { world, stream, past, shift, size, say } = scene
  const start = Date.now() * 1_000 - shift
  const spare = WARM.seconds * WARM.rate
  const minute = busyMinute(world, {
    seed: size.seed,
    start,
    ...o,
    seconds: o.seconds + spare / o.rate,
  })
  const meanwhile = stream.slice(past).filter(({ time }) => time < start)
  await tell(scene, [...meanwhile, ...minute.before])
  say(`  ${count(meanwhile.length + minute.before.length)} payments have happened meanwhile`)
  const warm = minute.live.slice(0, spare)
  const live = minute.live.slice(spare)
  const decided = await decide(scene, folder, { payments: warm, rate: WARM.rate })
  const measured = await decide(scene, folder, { payments: live, rate: o.rate })
  return { load: measured.load, decided: [...decided.decided, ...measured.decided] }
}

async function decide(
  { product }: Scene,
  folder: string,
  { payments, rate }: { payments: Payment[]; rate: number },
): Promise<Live> {
  const [from, to] = [join(folder, 'requests.jsonl'), join(folder, 'answers.jsonl')]
  writeFileSync(
    from,
    payments
      .map(payment => `${JSON.stringify({ id: payment.id, data: dataOf(payment) })}\n`)
      .join(''),
  )
  const load = await openLoad(product, {
    work: '../fraud/work/requests.ts',
    args: { path: '/v1/decisions/fraud', from, to },
    rate,
    seconds: payments.length / rate,
  })
  const lines = readFileSync(to, 'utf8').trimEnd().split('\n')
  const decided = lines.map((line): Decided => {
    const { i, status, ms, body } = JSON.parse(line) as Answer
    if (status !== 200) throw new Error(`${payments[i]!.id} was answered with ${status}: ${body}`)
    return { payment: payments[i]!, ms, reply: JSON.parse(body) }
  })
  return { load, decided }
}

/** What the log keeps of the decisions, by id, once all of them and their events are there. */
export async function recordsOf(
  { galley }: Scene,
  decided: Decided[],
): Promise<Map<string, Recorded>> {
  const until = performance.now() + LOGGED_WITHIN_MS
  for (;;) {
    const records = new Map<string, Recorded>()
    const input = { params: { endpoint: 'fraud' }, query: { limit: 1_000 } }
    for await (const record of galley.each('decisions.list', input)) {
      if (record.event && record.outcome) records.set(record.event.id, record)
    }
    if (decided.every(({ payment }) => records.has(payment.id))) return records
    if (performance.now() > until) {
      throw new Error(
        `${records.size} of ${decided.length} decisions are in the log after a minute`,
      )
    }
    await sleep(500)
  }
}

/** Weeks later: what each payment was. */
export async function tellLabels({ galley, shift }: Scene, decided: Decided[]): Promise<void> {
  let next = 0
  const sender = async () => {
    for (let i = next++; i < decided.length; i = next++) {
      const { id, attack, labelTime } = decided[i]!.payment
      const at = timeText(labelTime + shift)
      const body = { endpoint: 'fraud', id, label: attack !== null, at }
      await galley.request('decisions.feedback', { body }, { repeatable: true })
    }
  }
  await Promise.all(Array.from({ length: FEEDBACK_SENDERS }, sender))
}
