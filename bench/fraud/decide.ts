/** Decisions at a stated rate for callers in another process, what is kept of them, and their labels. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Galley, Item, Reply } from '#sdk/client.ts'
import type { CloudEvent } from '../../examples/fraud/events.ts'
import { type OpenLoad, openLoad } from '../live/load-open.ts'
import type { Product } from '../product.ts'
import type { Answer } from './work/requests.ts'

export type Asked = { id: string; data: CloudEvent['data'] }
/** `ms`: from the moment at which the question was due. */
export type Decided<T extends Asked = Asked> = T & { ms: number; reply: Reply<'decisions.decide'> }
export type Recorded = Item<'decisions.list'>
export type Label = { id: string; label: boolean; at?: string }

const LOGGED_WITHIN_MS = 60_000
const LABEL_SENDERS = 8

/** One question after the other, each when it is due, whatever the answers do. `folder`: for two files. */
export async function decide<T extends Asked>(
  product: Product,
  asked: readonly T[],
  o: { endpoint: string; rate: number; folder: string },
): Promise<{ load: OpenLoad; decided: Decided<T>[] }> {
  const [from, to] = [join(o.folder, 'requests.jsonl'), join(o.folder, 'answers.jsonl')]
  writeFileSync(from, asked.map(({ id, data }) => `${JSON.stringify({ id, data })}\n`).join(''))
  const load = await openLoad(product, {
    work: '../fraud/work/requests.ts',
    args: { path: `/v1/decisions/${o.endpoint}`, from, to },
    rate: o.rate,
    seconds: asked.length / o.rate,
  })
  const lines = readFileSync(to, 'utf8').trimEnd().split('\n')
  const decided = lines.map((line): Decided<T> => {
    const { i, status, ms, body } = JSON.parse(line) as Answer
    if (status !== 200) throw new Error(`${asked[i]!.id} was answered with ${status}: ${body}`)
    return { ...asked[i]!, ms, reply: JSON.parse(body) }
  })
  if (decided.length < asked.length) {
    throw new Error(`${asked.length - decided.length} of ${asked.length} got no answer`)
  }
  return { load, decided }
}

/** What the log keeps of the decisions, by id, once all of them and their events are there. */
export async function recordsOf(
  galley: Galley,
  endpoint: string,
  decided: readonly Decided[],
): Promise<Map<string, Recorded>> {
  const until = performance.now() + LOGGED_WITHIN_MS
  for (;;) {
    const records = new Map<string, Recorded>()
    const input = { params: { endpoint }, query: { limit: 1_000 } }
    for await (const record of galley.each('decisions.list', input)) {
      if (record.event && record.outcome) records.set(record.event.id, record)
    }
    if (decided.every(({ id }) => records.has(id))) return records
    if (performance.now() > until) {
      throw new Error(
        `${records.size} of ${decided.length} decisions are in the log after a minute`,
      )
    }
    await sleep(500)
  }
}

/** How each turned out, as it is heard of later. */
export async function tellLabels(
  galley: Galley,
  endpoint: string,
  labels: readonly Label[],
): Promise<void> {
  let next = 0
  const sender = async () => {
    for (let i = next++; i < labels.length; i = next++) {
      const body = { endpoint, ...labels[i]! }
      await galley.request('decisions.feedback', { body }, { repeatable: true })
    }
  }
  await Promise.all(Array.from({ length: LABEL_SENDERS }, sender))
}
