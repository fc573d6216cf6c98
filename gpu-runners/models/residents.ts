/** Models that this runner holds in memory: loaded when first asked for, the least used given back. */
import type { Clock, Log, Servable, Tracer } from '#core/deps.ts'
import type { AppError } from '#core/error.ts'
import {
  BATCH_LIMITS,
  type Batcher,
  type BatchLimits,
  type BatchMetrics,
  createBatcher,
  type Gone,
} from '#gpu-runners/batcher/batcher.ts'
import type { Engine, HostedModel } from '#gpu-runners/engines/engine.ts'
import {
  type OpenTokenizer,
  openTokenizers,
  type Tokenizers,
} from '#gpu-runners/text/tokenizers.ts'
import type { TenantId } from '#schemas/ids.ts'
import type { RunSettings } from '#schemas/tuning.ts'
import { type Borrowed, bytesOf, loadable, type ModelFiles, settingsOn } from './files.ts'
import { type Memory, NoRoom, type Room } from './memory.ts'

export type Resident = {
  /** As the tenant has it who had it loaded. */
  servable: Servable
  model: HostedModel
  batcher: Batcher
  /** Of a model that embeds texts. */
  tokenizer: OpenTokenizer | null
  usedAt: number
  files: Borrowed
  /** Tenants that asked for it since it was loaded: the memory is given back when none is left. */
  users: Set<TenantId>
  /** Requests that hold it now, whether they have reached the batcher or not. */
  serving: number
  room: Room
}

export type Residents = {
  /** The model if it is warm, without a promise. */
  warm(digest: string): Resident | undefined
  /** The model, loaded if need be. Throws `NoRoom`, or what the engine says when it cannot. */
  get(tenantId: TenantId, servable: Servable): Promise<Resident>
  /** All that are warm, by digest. */
  all(): Iterable<readonly [digest: string, Resident]>
  /**
   * Ends a tenant's claim; with the last one the memory is given back. False: it is busy, ask again.
   */
  release(tenantId: TenantId, digest: string): Promise<boolean>
}

type Deps = {
  engine: Engine
  files: ModelFiles
  memory: Memory
  clock: Clock
  log: Log
  /** The class of this runner. */
  hardware: string
  /** Of what is served online; absent: nothing is traced. */
  tracer?: Tracer | null
}
type Refused = { error: AppError; until: number }

type Options = {
  onChange(digests: string[]): void
  onBatch?(servable: Servable, batch: BatchMetrics): void
  /** Of a version that is warm: told of each request that is not computed. */
  goneOf?(servable: Servable): (why: keyof Gone) => void
}

export function openResidents(deps: Deps, o: Options): Residents {
  const { clock, log, memory } = deps
  const tokenizers = openTokenizers()
  const residents = new Map<string, Resident>()
  const loading = new Map<string, Promise<Resident>>()
  /** For which there was no room, until when it is not worth looking again. */
  const refused = new Map<string, Refused>()

  async function load(tenantId: TenantId, servable: Servable): Promise<Resident> {
    const began = performance.now()
    const { digest } = servable
    const room = await memory.admit({ digest, fileBytes: bytesOf(servable) })
    let resident: Resident | undefined
    try {
      resident = await open({ ...deps, tokenizers, room }, tenantId, servable, o)
      await room.settle(holderOf(digest, resident))
    } catch (error) {
      room.leave()
      if (resident) await unload(digest, resident)
      throw error
    }
    residents.set(digest, resident)
    log.info('runner.loaded', {
      model: servable.model,
      digest,
      mb: Math.round(resident.model.residentBytes() / 2 ** 20),
      ms: Math.round(performance.now() - began),
    })
    o.onChange([...residents.keys()])
    return resident
  }

  function holderOf(digest: string, resident: Resident) {
    const { model, batcher } = resident
    return {
      residentBytes: () => model.residentBytes(),
      usedAt: () => resident.usedAt,
      // What callers wait for stays: closed under them, they would be refused.
      busy: () => resident.serving > 0 || model.busy || batcher.queuedRows > 0,
      evict: async () => {
        if (residents.get(digest) !== resident) return
        residents.delete(digest)
        o.onChange([...residents.keys()])
        return unload(digest, resident)
      },
    }
  }

  async function unload(digest: string, { model, tokenizer, files }: Resident): Promise<void> {
    try {
      tokenizer?.close()
      await model.close()
      await files.release()
      log.info('runner.unloaded', { digest })
    } catch (error) {
      log.error('runner.not_unloaded', { digest, error: String(error) })
    }
  }

  /** Callers of a model without room come by the thousand: one of them looks again, now and then. */
  function refuse(digest: string, error: unknown): never {
    if (error instanceof NoRoom) {
      if (refused.size >= REFUSED_MAX) refused.clear()
      refused.set(digest, { error, until: clock.now() + error.lookAgainMs })
    }
    throw error
  }

  return {
    all: () => residents,
    warm(digest) {
      const resident = residents.get(digest)
      if (resident) resident.usedAt = clock.now()
      return resident
    },
    get(tenantId, servable) {
      const { digest } = servable
      const warm = residents.get(digest)
      if (warm) return Promise.resolve(warm)
      const no = refused.get(digest)
      if (no && clock.now() < no.until) return Promise.reject(no.error)
      refused.delete(digest)
      let load_ = loading.get(digest)
      if (!load_) {
        load_ = load(tenantId, servable)
          .catch(error => refuse(digest, error))
          .finally(() => loading.delete(digest))
        loading.set(digest, load_)
      }
      return load_
    },
    async release(tenantId, digest) {
      const resident = residents.get(digest)
      if (!resident) return true
      const others = resident.users.size - (resident.users.has(tenantId) ? 1 : 0)
      const holder = holderOf(digest, resident)
      if (others === 0 && holder.busy()) return false
      resident.users.delete(tenantId)
      if (others > 0) return true
      await holder.evict()
      resident.room.leave()
      return true
    },
  }
}

async function open(
  deps: Deps & { tokenizers: Tokenizers; room: Room },
  tenantId: TenantId,
  servable: Servable,
  { onBatch, goneOf }: Options,
): Promise<Resident> {
  const { engine, tokenizers, room, clock, log } = deps
  const { digest, model: name, version } = servable
  const files = await deps.files.borrow(tenantId, servable)
  try {
    const settings = settingsOn(deps.hardware, servable)
    const model = await engine.load(loadable(tenantId, servable, files), settings)
    const batcher = createBatcher({
      model,
      signature: model.signature,
      clock,
      limits: batchLimitsOf(servable, settings),
      onGone: goneOf?.(servable),
      tracer: deps.tracer,
      onBatch: metrics => {
        resident.usedAt = clock.now()
        onBatch?.(servable, metrics)
        log.info('runner.batch', { model: name, version, digest: digest.slice(0, 12), ...metrics })
      },
    })
    const tokenizer = files.tokenizerPath ? tokenizers.open(files.tokenizerPath) : null
    // Read before the first text comes. What is wrong with it, that text is told.
    tokenizer?.encode(['']).catch(() => {})
    const resident: Resident = {
      servable,
      model,
      batcher,
      tokenizer,
      usedAt: clock.now(),
      files,
      users: new Set(),
      serving: 0,
      room,
    }
    return resident
  } catch (error) {
    await files.release()
    throw error
  }
}

/** A row of text is worth hundreds of a small model's: its batch is bounded by its tokens. */
const BATCH_TOKENS_MAX = 16_384
const BATCH_ROWS_MIN = 8

export function batchLimitsOf(
  { manifest }: Servable,
  settings?: RunSettings,
): Partial<BatchLimits> {
  const measured = settings?.batchRows ?? BATCH_LIMITS.batchRowsMax
  if (!manifest.embedding) return { batchRowsMax: measured }
  const rows = Math.max(
    BATCH_ROWS_MIN,
    Math.floor(BATCH_TOKENS_MAX / manifest.embedding.max_tokens),
  )
  return { batchRowsMax: Math.min(measured, rows) }
}

const REFUSED_MAX = 1_000
