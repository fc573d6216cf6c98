/** Reading rows of entities: one call per object that holds some of them. */
import type { EntityKey, EntityRead, FeatureObjects } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { partitionOf } from '#core/events/partition.ts'
import type { TenantId } from '#schemas/ids.ts'
import type { Reader } from './reader.ts'

/** Who asks for a seq waits so long for it to be applied. */
const FRESH_WAIT_MS = 250
const FRESH_STEP_MS = 10

export type MinSeq = Record<number, number>

/** What was read, in the order of the rows' keys. */
export async function readRows(
  features: FeatureObjects,
  tenantId: TenantId,
  reader: Reader,
  rows: readonly EntityKey[][],
  minSeq: MinSeq = {},
): Promise<EntityRead[][]> {
  const groups = new Map<
    number,
    { keys: EntityKey[]; minSeq: MinSeq; places: [number, number][] }
  >()
  for (const [i, keys] of rows.entries()) {
    for (const [j, key] of keys.entries()) {
      const partition = partitionOf(key.entity, key.entityKey)
      const group = Math.floor(partition / features.partitionsPerObject)
      let of = groups.get(group)
      if (!of) {
        of = { keys: [], minSeq: {}, places: [] }
        groups.set(group, of)
      }
      of.keys.push(key)
      of.places.push([i, j])
      if (minSeq[partition] !== undefined) of.minSeq[partition] = minSeq[partition]
    }
  }
  const found = rows.map((keys): EntityRead[] => new Array(keys.length))
  const { plan } = reader
  await Promise.all(
    [...groups].map(async ([group, { keys, minSeq, places }]) => {
      const object = features.group(tenantId, group)
      const ask = () => object.read({ planHash: plan.hash, plan, keys, minSeq })
      const { reads } = await fresh(ask)
      for (const [n, [i, j]] of places.entries()) found[i]![j] = reads[n]!
    }),
  )
  return found
}

async function fresh<T>(ask: () => Promise<T>): Promise<T> {
  for (let waitedMs = 0; ; waitedMs += FRESH_STEP_MS) {
    try {
      return await ask()
    } catch (error) {
      const isEarly = error instanceof AppError && error.code === 'not_fresh'
      if (!isEarly || waitedMs >= FRESH_WAIT_MS) throw error
      await new Promise(resolve => setTimeout(resolve, FRESH_STEP_MS))
    }
  }
}
