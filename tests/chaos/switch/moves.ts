/** The switches of the scenario: to another version, to one that cannot be loaded, and back. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Json } from '../client.ts'
import { Refused } from '../client.ts'
import type { Found } from './attack.ts'
import type { Asking } from './callers.ts'
import { MODEL, type Version } from './versions.ts'

const TRIED_MS = 150
const PATH = `/v1/registry/models/${MODEL}`

export async function flip({ client, key }: Asking, version: Version): Promise<Version> {
  const body = { version: version.number }
  await client.insist({ key, method: 'PUT', path: `${PATH}/aliases/champion`, body })
  return version
}

/** It must be refused, whatever dies meanwhile, and so must leave serving what serves. */
export async function flipToLost(asking: Asking, lost: Version, found: Found): Promise<void> {
  try {
    await flip(asking, lost)
    found.faults.push('a version that cannot be loaded was let serve')
  } catch (error) {
    if (!(error instanceof Refused) || error.code !== 'not_loaded') throw error
    found.refused++
  }
}

/** Back to the version that served before; the first that ever served is what it was. */
export async function rollBack(asking: Asking, serving: Version, found: Found): Promise<Version> {
  const { client, key, versions } = asking
  try {
    const path = `${PATH}/rollback`
    const { switch: made } = await client.insist<Json>({ key, method: 'POST', path, body: {} })
    found.rollbacks++
    return versions.find(({ number }) => number === made.to)!
  } catch (error) {
    if (error instanceof Refused && error.code === 'conflict') return serving
    throw error
  }
}

/** A canary beside the version that serves, for a moment; then it serves, or is taken back. */
export async function tryOut(
  { client, key }: Asking,
  serving: Version,
  candidate: Version,
  isPromoted: boolean,
): Promise<Version> {
  // What its callers are told is held against the version that answered them, by each of them.
  const guard = { errors_max: null, latency_ratio_max: null, shift_max: null }
  const body = { version: candidate.number, percent: 50, guard }
  await client.insist({ key, method: 'PUT', path: `${PATH}/rollout`, body })
  await sleep(TRIED_MS)
  if (isPromoted) await client.insist({ key, method: 'POST', path: `${PATH}/promote` })
  else await client.insist({ key, method: 'POST', path: `${PATH}/rollback`, body: {} })
  return isPromoted ? candidate : serving
}

/** The product's own account: every switch stands in it, and none dropped or mixed anything. */
export async function checkLog({ client, key }: Asking, found: Found): Promise<void> {
  let refused = 0
  let made = 0
  for (let cursor = ''; ; ) {
    const path = `${PATH}/switches?limit=100${cursor && `&cursor=${cursor}`}`
    const page = await client.insist<Json>({ key, method: 'GET', path })
    for (const row of page.data) {
      if (row.outcome === 'refused') refused++
      else made++
      if (row.dropped || row.mixed) {
        found.faults.push(`the log says of ${row.id}: ${row.dropped} dropped, ${row.mixed} mixed`)
      }
    }
    if (!page.has_more) break
    cursor = page.next_cursor
  }
  if (refused < found.refused || made < found.switches - found.refused) {
    found.faults.push(`the log has ${made} switches that were made and ${refused} refused`)
  }
}
