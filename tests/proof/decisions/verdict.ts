/** Whether what callers were told is one history, and whether the log has it, each event once. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Client, type Json, Refused } from '../../chaos/client.ts'
import { type Book, decide, type Told } from './callers.ts'
import { CARD, ENDPOINT, SOURCE } from './scene.ts'

const REPLAYED = 25

export type Verdict = {
  /** Decisions that did not see exactly the payments before them. */
  violations: string[]
  /** Payments that stand twice for the card, or were counted twice by the last decision. */
  twice: number
  /** Decisions that were told and are not in the log, or not listed. */
  lost: number
  replayed: number
  /** Decisions that came out otherwise when they were made again. */
  otherwise: string[]
}

type Asking = { client: Client; key: string; settleMs: number }

export async function judge(o: Asking & { book: Book }): Promise<Verdict> {
  const { told } = o.book
  const last = await decide(o, { id: 'the-last', data: { card_id: CARD, amount: 0.01 } })
  const all = [...told, last].sort((a, b) => a.seq - b.seq)
  const logged = await loggedOnce(o, all.length)
  const listed = await listedOnce(o, all.length)
  const otherwise = await madeAgain(o, sampleOf(all))
  return {
    violations: violationsOf(all),
    twice: logged.twice + Math.max(0, last.payments - told.length),
    lost: all.filter(({ id }) => !logged.ids.has(id) || !listed.has(id)).length,
    replayed: Math.min(REPLAYED, all.length),
    otherwise,
  }
}

/** The k-th by seq must have seen the k − 1 before it: so many, and what they came to. */
export function violationsOf(all: Told[]): string[] {
  let spent = 0
  return all.flatMap((told, i) => {
    const isRight = told.seq === i + 1 && told.payments === i && told.spent === spent
    const says = `${JSON.stringify(told)} should be seq ${i + 1}, payments ${i}, spent ${spent}`
    spent += told.cents
    return isRight ? [] : [says]
  })
}

/** The log, once everything is placed: each event with one position. */
async function loggedOnce(o: Asking, count: number) {
  for (const until = performance.now() + o.settleMs; ; await sleep(500)) {
    const events = await pages(o, '/v1/events?type=payment')
    const placed = events.filter(({ positions }) => positions.length > 0)
    if (placed.length < count && performance.now() < until) continue
    const ids = new Set<string>(placed.map(({ id }) => id))
    const positions = placed.flatMap(event => event.positions)
    const seqs = new Set(positions.map(({ seq }) => seq))
    return {
      ids,
      twice:
        events.length - new Set(events.map(({ id }) => id)).size + positions.length - seqs.size,
    }
  }
}

/** Decisions whose snapshot has reached the log. */
async function listedOnce(o: Asking, count: number) {
  for (const until = performance.now() + o.settleMs; ; await sleep(500)) {
    const listed = await pages(o, `/v1/decisions/${ENDPOINT}?`)
    const ids = new Set<string>(listed.flatMap(({ event }) => event?.id ?? []))
    if (ids.size >= count || performance.now() > until) return ids
  }
}

function sampleOf(all: Told[]): Told[] {
  const step = Math.max(1, Math.floor(all.length / REPLAYED))
  return all.filter((_, i) => i % step === 0).slice(0, REPLAYED)
}

async function madeAgain({ client, key }: Asking, sample: Told[]) {
  const otherwise: string[] = []
  for (const { id, score } of sample) {
    const path = `/v1/decisions/${ENDPOINT}/replay`
    const body = { id, source: SOURCE }
    const asked = client.insist({ key, method: 'POST', path, body })
    // One that is lost is counted as lost.
    const again: Json = await asked.catch((error: unknown) => error)
    if (again instanceof Refused && again.status === 404) continue
    if (again.equal && again.replayed.score === score) continue
    const says = again instanceof Error ? again.message : JSON.stringify(again.differs)
    otherwise.push(`${id}: ${says}, ${again.replayed?.score} for ${score}`)
  }
  return otherwise
}

async function pages({ client, key }: Asking, path: string): Promise<Json[]> {
  const all: Json[] = []
  for (let cursor = ''; ; ) {
    const query = `&limit=1000${cursor && `&cursor=${encodeURIComponent(cursor)}`}`
    const page: Json = await client.insist({ key, method: 'GET', path: path + query })
    all.push(...page.data)
    if (!page.next_cursor) return all
    cursor = page.next_cursor
  }
}
