/**
 * Runners of a service that is told a number and keeps to it by itself: which there are follows from that number,
 * from what runners announced, and from when earlier decisions asked for more.
 */
import { desc, eq } from 'drizzle-orm'
import type { Tx } from '#core/deps.ts'
import { RUNNER_SILENT_MS, runners } from '#schemas/tables/runners.ts'
import { newest } from './kept.ts'
import type { PoolRunner } from './online/load.ts'

/** Of decisions: a day of a pool that changes every few minutes. */
const ASKED_MAX = 500
/** What came up so long after it was asked for came for another reason. */
const COLD_MS_MAX = 15 * 60_000
/** What a start is taken to need until one was seen: a machine, its image and its first announcement. */
const COLD_S = 90
const COLD_STARTS_MAX = 50

/** Times in Unix milliseconds. */
export type Announced = { name: string; sinceAt: number; seenAt: number }
/** How many runners there were to be from then on. */
export type Asked = { at: number; runners: number }
export type Told = {
  /** In any order; those that have gone lately included, because their starts were observed. */
  announced: readonly Announced[]
  /** The newest first. */
  asked: readonly Asked[]
}

export async function read(tx: Tx, { hardware, now }: { hardware: string; now: number }) {
  const announced = await tx
    .select()
    .from(runners)
    .where(eq(runners.hardware, hardware))
    .orderBy(desc(runners.sinceAt))
  const kept = await newest(tx, { hardware, max: ASKED_MAX })
  return {
    announced: announced
      .map(({ name, sinceAt, seenAt }) => ({
        name,
        sinceAt: sinceAt.getTime(),
        seenAt: seenAt.getTime(),
      }))
      .filter(({ sinceAt }) => sinceAt <= now),
    asked: kept.map(({ sinceAt, spot, onDemand }) => ({ at: sinceAt, runners: spot + onDemand })),
  } satisfies Told
}

/**
 * `wanted`: the number that the service was told last; `floor`: those of them that it runs on on-demand capacity.
 * What announces itself beyond that number is on its way out, those first that have been silent for longest. What
 * is missing is on its way in, since it was asked for; one in place of a lost one too.
 */
export function runnersOf(
  { announced, asked }: Told,
  { wanted, floor, now }: { wanted: number; floor: number; now: number },
): PoolRunner[] {
  const heard = announced
    .filter(({ seenAt }) => seenAt > now - RUNNER_SILENT_MS)
    .toSorted((a, b) => b.seenAt - a.seenAt || order(a, b))
  const warm = heard.slice(0, wanted).toSorted((a, b) => a.sinceAt - b.sinceAt || order(a, b))
  const missing = Array.from({ length: wanted - warm.length }, (_, i) => warm.length + i + 1)
  const marketOf = (rank: number) => (rank <= floor ? ('on_demand' as const) : ('spot' as const))
  const ageS = (since: number) => Math.max(0, now - since) / 1000
  return [
    ...warm.map(({ name, sinceAt }, i) => ({
      name,
      market: marketOf(i + 1),
      state: 'warm' as const,
      ageS: ageS(sinceAt),
    })),
    ...missing.map(rank => ({
      name: `missing-${rank}`,
      market: marketOf(rank),
      state: 'starting' as const,
      ageS: ageS(askedAt(asked, rank) ?? now),
    })),
    ...heard.slice(wanted).map(({ name, sinceAt }) => ({
      name,
      market: 'spot' as const,
      state: 'draining' as const,
      ageS: ageS(sinceAt),
    })),
  ]
}

/** Since when so many runners have been asked for without a break; null: fewer are. */
function askedAt(asked: readonly Asked[], rank: number): number | null {
  const fewer = asked.findIndex(({ runners }) => runners < rank)
  const since = fewer === -1 ? asked.at(-1) : asked[fewer - 1]
  return since?.at ?? null
}

/**
 * Seconds from a decision that asked for one more until one more announced itself, the newest first. Which start
 * belongs to which decision is written nowhere: each is taken for the newest that has none yet. The mean is the same
 * whichever it was, and a decision that needed no start, because a busy runner had stayed, is left without one.
 */
export function coldStartsOf({ announced, asked }: Told): number[] {
  const open: number[] = []
  const asks = asked
    .slice(0, -1)
    .flatMap(({ at, runners }, i) =>
      new Array<number>(Math.max(0, runners - asked[i + 1]!.runners)).fill(at),
    )
    .reverse()
  const seen: number[] = []
  for (const { sinceAt } of announced.toSorted((a, b) => a.sinceAt - b.sinceAt)) {
    while (asks.length > 0 && asks[0]! <= sinceAt) open.push(asks.shift()!)
    const since = open.pop()
    if (since !== undefined && sinceAt - since <= COLD_MS_MAX) seen.push((sinceAt - since) / 1000)
  }
  return seen.length > 0 ? seen.reverse().slice(0, COLD_STARTS_MAX) : [COLD_S]
}

const order = (a: Announced, b: Announced) => (a.name < b.name ? -1 : 1)
