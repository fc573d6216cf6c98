/**
 * The decisions made again in two other ways. Skew: a training set over the times at which they read must
 * hold the very values that they were made by. Replay: the whole decision, recomputed one by one.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { VIEWS } from '../../examples/fraud/definitions.ts'
import { dataOf } from '../../examples/fraud/events.ts'
import type { Decided, Recorded } from './live.ts'
import type { Scene } from './scene.ts'
import { rowsOf } from './table.ts'
import { makeTrainingSet } from './training-set.ts'

export type Skew = {
  compared: number
  mismatches: number
  /** Of the first that differ. */
  examples: string[]
}

const EXAMPLES_MAX = 5
const REPLAYS = 300
const REPLAYERS = 4
const BY_COMMAND = 3

/**
 * Each entity was read by its own clock: one question for each read, from which the features of that
 * entity's views are compared with those in the record of the decision, to the bit.
 */
export async function measureSkew(
  { galley }: Scene,
  decided: readonly Decided[],
  o: { records: ReadonlyMap<string, Recorded>; folder: string },
): Promise<Skew> {
  const path = join(o.folder, 'live.parquet')
  const questions = decided.flatMap(({ payment, reply }) =>
    reply.reads.map(({ entity, at }) => ({
      ...dataOf(payment),
      timestamp: at,
      asked_of: entity,
      decision: payment.id,
    })),
  )
  await makeTrainingSet(galley, { service: 'fraud', questions, mode: 'as_served' }, path)
  const rows = await rowsOf(`select * from read_parquet('${path}')`)
  const skew: Skew = {
    compared: 0,
    mismatches: Math.abs(rows.length - questions.length),
    examples: [],
  }
  for (const row of rows) {
    const id = String(row.decision)
    const { features } = o.records.get(id)!.outcome!
    for (const [view, { entity, features: named }] of Object.entries(VIEWS)) {
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
  scene: Scene,
  decided: readonly Decided[],
): Promise<{ asked: number; equal: number }> {
  const step = Math.max(1, Math.floor(decided.length / REPLAYS))
  const ids = decided.filter((_, i) => i % step === 0).map(({ payment }) => payment.id)
  let [next, equal] = [0, 0]
  const replayer = async () => {
    for (let i = next++; i < ids.length; i = next++) {
      const input = { params: { endpoint: 'fraud' }, body: { id: ids[i]! } }
      const again = await scene.galley.request('decisions.replay', input, { repeatable: true })
      if (again.equal && again.decided !== null) equal++
    }
  }
  await Promise.all(Array.from({ length: REPLAYERS }, replayer))
  const named = ids.slice(-BY_COMMAND)
  for (const id of named) if (await replayByCommand(scene, id)) equal++
  return { asked: ids.length + named.length, equal }
}

async function replayByCommand({ product }: Scene, id: string): Promise<boolean> {
  const command = fileURLToPath(new URL('../../sdk/cli/galley.ts', import.meta.url))
  const args = ['replay', 'fraud', id, '--json', '--url', product.url, '--key', product.key]
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
