/**
 * Decisions made again in two other ways. Skew: a training set over the times at which they read must hold
 * the very values that they were made by. Replay: the whole decision, recomputed one by one.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Contract, Galley } from '#sdk/client.ts'
import type { Product } from '../product.ts'
import type { Decided, Recorded } from './decide.ts'
import { rowsOf } from './table.ts'
import { makeTrainingSet } from './training-set.ts'

type View = Contract['views.apply']['input']['body']
export type Skew = {
  compared: number
  mismatches: number
  /** Of the first that differ. */
  examples: string[]
}
export type Replays = { asked: number; equal: number }

const EXAMPLES_MAX = 5
const REPLAYS = 300
const REPLAYERS = 4
const BY_COMMAND = 3

/**
 * Each entity was read by its own clock: one question for each read, from which the features of that
 * entity's views are compared with those in the record of the decision, to the bit.
 */
export async function measureSkew(
  galley: Galley,
  decided: readonly Decided[],
  o: {
    service: string
    views: Record<string, View>
    records: ReadonlyMap<string, Recorded>
    folder: string
  },
): Promise<Skew> {
  const path = join(o.folder, 'skew.parquet')
  const questions = decided.flatMap(({ id, data, reply }) =>
    reply.reads.map(({ entity, at }) => ({
      ...data,
      timestamp: at,
      asked_of: entity,
      decision: id,
    })),
  )
  await makeTrainingSet(galley, { service: o.service, questions, mode: 'as_served' }, path)
  const rows = await rowsOf(`select * from read_parquet('${path}')`)
  const mismatches = Math.abs(rows.length - questions.length)
  const skew: Skew = { compared: 0, mismatches, examples: [] }
  for (const row of rows) {
    const id = String(row.decision)
    const { features } = o.records.get(id)!.outcome!
    for (const [view, { entity, features: named }] of Object.entries(o.views)) {
      if (entity !== row.asked_of) continue
      for (const name of Object.keys(named)) {
        const [served, trained] = [features[`${view}.${name}`], row[`${view}__${name}`]]
        skew.compared++
        if (isSame(served, trained)) continue
        skew.mismatches++
        const example = `${id} ${view}.${name}: decided by ${served}, trained on ${trained}`
        if (skew.examples.length < EXAMPLES_MAX) skew.examples.push(example)
      }
    }
  }
  return skew
}

/** Decimals and whole numbers are their own types in Parquet and numbers in JSON. */
function isSame(served: unknown, trained: unknown): boolean {
  if (typeof served === 'number') return trained !== null && Object.is(served, Number(trained))
  return served === trained
}

/** How many of a sample are the same again; the last few are asked for by `galley replay`. */
export async function replaySample(
  product: Product,
  galley: Galley,
  o: { endpoint: string; decided: readonly Decided[] },
): Promise<Replays> {
  const step = Math.max(1, Math.floor(o.decided.length / REPLAYS))
  const ids = o.decided.filter((_, i) => i % step === 0).map(({ id }) => id)
  let [next, equal] = [0, 0]
  const replayer = async () => {
    for (let i = next++; i < ids.length; i = next++) {
      const input = { params: { endpoint: o.endpoint }, body: { id: ids[i]! } }
      const again = await galley.request('decisions.replay', input, { repeatable: true })
      if (again.equal && again.decided !== null) equal++
    }
  }
  await Promise.all(Array.from({ length: REPLAYERS }, replayer))
  const named = ids.slice(-BY_COMMAND)
  for (const id of named) if (await replayByCommand(product, o.endpoint, id)) equal++
  return { asked: ids.length + named.length, equal }
}

async function replayByCommand({ url, key }: Product, endpoint: string, id: string) {
  const command = fileURLToPath(new URL('../../sdk/cli/galley.ts', import.meta.url))
  const args = ['replay', endpoint, id, '--json', '--url', url, '--key', key]
  const child = spawn(process.execPath, [command, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let printed = ''
  child.stdout.on('data', chunk => {
    printed += chunk
  })
  const [code] = await once(child, 'close')
  return code === 0 && JSON.parse(printed).equal === true
}
