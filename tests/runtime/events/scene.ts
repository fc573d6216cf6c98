/** A tenant with a type of events, real objects in a folder, and processes that die where they are told to. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import type { Blobs, Database, FeatureObjects } from '#core/deps.ts'
import { checkedEvent } from '#core/events/contract.ts'
import * as events from '#core/events/events.ts'
import { OBJECT_CLASSES } from '#platform/objects/classes.ts'
import { remoteFeatures } from '#platform/objects/remote.ts'
import { type ObjectHost, openObjects } from '#platform/objects/sqlite.ts'
import type { Event } from '#schemas/event.ts'
import type { TenantId } from '#schemas/ids.ts'
import { callOf, handClock, inTenant, newTenant } from '#tests/caller.ts'

export const log = { info() {}, error() {} }
/** Several objects, so that one of them may have applied its part when the process dies. */
const PARTITIONS_PER_OBJECT = 256

export const TYPE = {
  type: 'transaction',
  fields: {
    card: { type: 'string' as const },
    shop: { type: 'string' as const, optional: true as const },
    amount: { type: 'int' as const },
  },
  entities: { card: 'card', pair: ['card', 'shop'] },
  online_days: 60,
}

export type Scene = Awaited<ReturnType<typeof newScene>>

/** Objects that outlive the processes that call them, and can be made to wake anew. */
export function openHost(clock: { now(): number }) {
  const folder = mkdtempSync(join(tmpdir(), 'galley-events-'))
  const open = () => openObjects({ folder, classes: OBJECT_CLASSES, clock, log })
  let host: ObjectHost = open()
  afterAll(() => {
    host.close()
    rmSync(folder, { recursive: true, force: true })
  })
  const call = <T>(className: string, name: string, method: string, input: unknown) =>
    // As the wire does it: nothing is shared with the object.
    host.call(className, name, method, JSON.parse(JSON.stringify(input))) as Promise<T>
  return {
    folder,
    features: remoteFeatures(call, PARTITIONS_PER_OBJECT),
    call,
    wakeAnew() {
      host.close()
      host = open()
    },
  }
}

export async function newScene(db: Database) {
  const clock = handClock(Date.now())
  const host = openHost(clock)
  const scene = { db, clock, log, ...host }
  return { ...scene, newTenant: () => declared(db) }
}

async function declared(db: Database): Promise<TenantId> {
  const { tenantId } = await newTenant(db)
  await inTenant({ db }, tenantId, unit => events.declare(unit, callOf(tenantId), TYPE))
  return tenantId
}

/** As the edge makes it of what was sent. */
export function eventOf(
  tenantId: TenantId,
  raw: { id: string; data?: Record<string, unknown>; retracts?: string; time?: string },
  receivedAt = Date.now() * 1_000,
): Event {
  const sent = { source: '/till', type: TYPE.type, ...raw }
  const checked = checkedEvent({ ...TYPE, version: 1 }, sent, { tenantId, receivedAt })
  if ('errors' in checked) throw new Error(JSON.stringify(checked.errors))
  return checked.event
}

/** Then an event is in the log, and no object has been asked: three to prepare the day, three to log. */
export const AFTER_THE_LOG = 5

type Reached = Pick<Scene, 'db' | 'clock' | 'features'> & { blobs?: Blobs }

/**
 * The dependencies of a process that dies at its n-th await: before a transaction, before its commit,
 * after it, before and after a call of an object or a change of a blob. `dies: null` lives.
 */
export function mortal<Deps extends Reached>(deps: Deps, dies: number | null): Deps {
  let left = dies ?? Number.POSITIVE_INFINITY
  const pass = () => {
    if (left-- <= 0) throw new Error('the process has died')
  }
  const around = async <T>(work: () => Promise<T>): Promise<T> => {
    pass()
    const result = await work()
    pass()
    return result
  }
  const { db, features, blobs } = deps
  const inside =
    <Tx, T>(work: (tx: Tx) => Promise<T>) =>
    async (tx: Tx) => {
      const result = await work(tx)
      pass()
      return result
    }
  const dying: Database = {
    ...db,
    tenant: (tenantId, work) => around(() => db.tenant(tenantId, inside(work))),
    system: work => around(() => db.system(inside(work))),
  }
  const objects: FeatureObjects = {
    ...features,
    applyAt: (tenantId, calls) =>
      Promise.all(
        calls.map(async call => (await around(() => features.applyAt(tenantId, [call])))[0]!),
      ),
    group: (tenantId, group) => {
      const object = features.group(tenantId, group)
      return {
        ...object,
        erase: input => around(() => object.erase(input)),
      }
    },
  }
  const files = blobs && {
    ...blobs,
    put: (...args: Parameters<Blobs['put']>) => around(() => blobs.put(...args)),
    delete: (key: string) => around(() => blobs.delete(key)),
  }
  return { ...deps, db: dying, features: objects, ...(files && { blobs: files }) }
}
