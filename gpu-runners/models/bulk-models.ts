/**
 * Models for bulk work, in engine processes of their own so that it never stands in front of online
 * requests. A shard takes less time than a load: a model stays a while for the job's next shard, then
 * its process ends.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock, Log, Servable } from '#core/deps.ts'
import type { Engine, HostedModel, LoadedModel } from '#gpu-runners/engines/engine.ts'
import type { TenantId } from '#schemas/ids.ts'
import { type Borrowed, bytesOf, loadable, type ModelFiles, settingsOn } from './files.ts'
import { type Memory, NoRoom, type Room } from './memory.ts'

/** Longer than the pause between two shards of a job. */
const IDLE_MS = 10_000
/** Jobs that take turns on this runner; over it the one that rested longest goes at once. */
const IDLE_MAX = 2

/** A step waits so long for room beside online models before it is given back. */
const ROOM_MS_MAX = 60_000

type Loaded = { model: HostedModel; files: Borrowed; room: Room }
type Kept = {
  loaded: Promise<Loaded>
  users: number
  usedAt: number
  timer?: NodeJS.Timeout
}
export type BulkModels = {
  /** The model while `work` goes on; loaded if it is not there from the step before. */
  use<T>(
    tenantId: TenantId,
    servable: Servable,
    work: (model: LoadedModel, files: Borrowed) => Promise<T>,
  ): Promise<T>
}

export function openBulkModels(
  deps: {
    engine: Engine
    files: ModelFiles
    memory: Memory
    clock: Clock
    log: Log
    /** The class of this runner. */
    hardware: string
  },
  { idleMs = IDLE_MS, idleMax = IDLE_MAX, roomMsMax = ROOM_MS_MAX } = {},
): BulkModels {
  /** Those that rested longest come first. */
  const kept = new Map<string, Kept>()

  async function load(tenantId: TenantId, servable: Servable, one: () => Kept): Promise<Loaded> {
    const { digest } = servable
    const room = await roomFor(servable)
    let loaded: Loaded | undefined
    try {
      const files = await deps.files.borrow(tenantId, servable)
      const given = loadable(tenantId, servable, files)
      const settings = settingsOn(deps.hardware, servable)
      const model = await deps.engine
        .load(given, { ...settings, lane: 'bulk' })
        .catch(async error => {
          await files.release()
          throw error
        })
      loaded = { model, files, room }
      await room.settle({
        residentBytes: () => model.residentBytes(),
        usedAt: () => one().usedAt,
        busy: () => one().users > 0,
        evict: () => drop(digest, one()),
      })
      return loaded
    } catch (error) {
      room.leave()
      if (loaded) await unload(loaded)
      throw error
    }
  }

  /** Online models rest sooner or later, and bulk work is in no haste. */
  async function roomFor(servable: Servable): Promise<Room> {
    const until = deps.clock.now() + roomMsMax
    for (;;) {
      try {
        return await deps.memory.admit({ digest: servable.digest, fileBytes: bytesOf(servable) })
      } catch (error) {
        const again = error instanceof NoRoom && error.retryable && deps.clock.now() < until
        if (!again) throw error
        await sleep(ROOM_POLL_MS)
      }
    }
  }

  async function unload({ model, files, room }: Loaded): Promise<void> {
    await model.close()
    room.leave()
    await files.release()
  }

  function take(tenantId: TenantId, servable: Servable): Kept {
    const { digest } = servable
    const known = kept.get(digest)
    const one: Kept = known ?? {
      loaded: load(tenantId, servable, () => one),
      users: 0,
      usedAt: deps.clock.now(),
    }
    one.users++
    clearTimeout(one.timer)
    kept.delete(digest)
    kept.set(digest, one)
    return one
  }

  function giveBack(digest: string, one: Kept): void {
    one.usedAt = deps.clock.now()
    if (--one.users > 0 || kept.get(digest) !== one) return
    one.timer = setTimeout(drop, idleMs, digest, one).unref()
    const idle = [...kept].filter(([, { users }]) => users === 0)
    for (const [name, rested] of idle.slice(0, Math.max(0, idle.length - idleMax))) {
      void drop(name, rested)
    }
  }

  async function drop(digest: string, one: Kept): Promise<void> {
    clearTimeout(one.timer)
    if (kept.get(digest) === one) kept.delete(digest)
    try {
      await unload(await one.loaded)
    } catch (error) {
      deps.log.error('bulk.not_unloaded', { digest, error: String(error) })
    }
  }

  return {
    async use(tenantId, servable, work) {
      const { digest } = servable
      const one = take(tenantId, servable)
      try {
        const { model, files } = await one.loaded.catch(error => {
          // The next step tries anew.
          if (kept.get(digest) === one) kept.delete(digest)
          throw error
        })
        return await work(model, files)
      } finally {
        giveBack(digest, one)
      }
    },
  }
}

const ROOM_POLL_MS = 500
