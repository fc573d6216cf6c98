/**
 * The same reads of the same values, from Feast's own feature server and from the product, in turn: how many
 * a second at most (more are asked for than either can), and how long they take when there is no queue.
 */
import { isDeepStrictEqual } from 'node:util'
import { pythonWithFeast } from '../../../tests/conformance/clients/feast/python.ts'
import type { Product } from '../../product.ts'
import { type OpenLoad, openLoad } from '../load-open.ts'
import { startFeast } from './server.ts'

const ROUNDS = 3
const SECONDS = 4
/** More than it can, and not so much more that the rest takes minutes. */
const FLOOD = { feast: 600, galley: 9_000 }
const FLOOD_OF_100 = { feast: 30, galley: 200 }
/** Of one entity at a time; either is far from its limit. */
const QUIET_PER_S = 40
const QUIET_OF_100_PER_S = 4
/** What a moment more does not change. */
const STEADY = /_7d$/

type Side = 'feast' | 'galley'
type Answer = { metadata: { feature_names: string[] }; results: { values: unknown[] }[] }

export async function besideFeast(product: Product, cards: string[], say: (text: string) => void) {
  const found = await pythonWithFeast(say)
  if ('reason' in found) return { ratio: null, reason: found.reason }
  const server = await startFeast(found, await read(`${product.url}/feast`, product.key, cards))
  try {
    await mustBeEqual(product, server.url, cards.slice(0, 200))
    const sides = {
      feast: { target: { ...product, url: server.url }, prefix: '' },
      galley: { target: product, prefix: '/feast' },
    }
    const load = (side: Side, entities: number, rate: number, connections: number) => {
      const { target, prefix } = sides[side]
      const args = { prefix, cards, entities }
      const work = './work/feast-reads.ts'
      return openLoad(target, { work, args, rate, seconds: SECONDS, connections })
    }
    const rounds: Record<Side, OpenLoad[][]> = { feast: [], galley: [] }
    for (let round = 0; round < ROUNDS; round++) {
      for (const side of ['feast', 'galley'] as const) {
        const loads = [
          await load(side, 1, FLOOD[side], 16),
          await load(side, 1, QUIET_PER_S, 4),
          await load(side, 100, FLOOD_OF_100[side], 8),
          await load(side, 100, QUIET_OF_100_PER_S, 2),
        ]
        rounds[side].push(loads)
        say(
          `${side}: ${loads.map(({ achieved_per_s, p99_ms }) => `${achieved_per_s}/s ${p99_ms} ms`).join(', ')}`,
        )
      }
    }
    return verdictOf(rounds, server.workers)
  } finally {
    await server.stop()
  }
}

function verdictOf(rounds: Record<Side, OpenLoad[][]>, workers: number) {
  const of = (side: Side, i: number, name: 'achieved_per_s' | 'p50_ms' | 'p99_ms') =>
    median(rounds[side].map(loads => loads[i]![name]))
  const figures = (side: Side, i: number) => ({
    reads_per_s: of(side, i, 'achieved_per_s'),
    p50_ms: of(side, i + 1, 'p50_ms'),
    p99_ms: of(side, i + 1, 'p99_ms'),
  })
  const ratio = (i: number) =>
    round2(
      median(
        rounds.galley.map(
          (loads, n) => loads[i]!.achieved_per_s / rounds.feast[n]![i]!.achieved_per_s,
        ),
      ),
    )
  const bad = (side: Side) =>
    rounds[side]
      .flat()
      .reduce((sum, { requests, statuses }) => sum + requests - (statuses[200] ?? 0), 0)
  return {
    ratio: ratio(0),
    feast: { ...figures('feast', 0), workers, failed: bad('feast') },
    galley: { ...figures('galley', 0), failed: bad('galley') },
    of_100_entities: {
      ratio: ratio(2),
      feast: figures('feast', 2),
      galley: figures('galley', 2),
    },
    rounds: ROUNDS,
  }
}

/** Both must say the same of what a moment does not change, or the comparison is of two things. */
async function mustBeEqual(product: Product, feastUrl: string, cards: string[]): Promise<void> {
  const steady = async (url: string) => {
    const { metadata, results } = JSON.parse(await read(url, product.key, cards)) as Answer
    const named = metadata.feature_names.map((name, i) => [name, results[i]!.values] as const)
    return Object.fromEntries(named.filter(([name]) => STEADY.test(name)))
  }
  const [ours, theirs] = [await steady(`${product.url}/feast`), await steady(feastUrl)]
  if (isDeepStrictEqual(ours, theirs)) return
  throw new Error('the two servers do not answer the same')
}

async function read(url: string, key: string, cards: string[]): Promise<string> {
  const response = await fetch(`${url}/get-online-features`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ feature_service: 'fifty', entities: { card: cards } }),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`${url}: ${response.status} ${text.slice(0, 500)}`)
  return text
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)]!
}

function round2(value: number): number {
  return Math.round(value * 100) / 100
}
