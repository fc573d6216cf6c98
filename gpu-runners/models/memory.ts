/**
 * The memory that the models of a runner may hold together, online and bulk. What counts is what is
 * measured; before a model was loaded once, what its files suggest. A model that does not fit beside what
 * is in use is refused at once: taking away what is asked for every second would load all day and answer
 * nobody.
 */
import type { Clock, Log } from '#core/deps.ts'
import { AppError } from '#core/error.ts'

/**
 * A model stays for so many times what its loading took: models that take turns in too little memory
 * spend a twentieth of their time on loading at most.
 */
const STAY_PER_LOAD = 20
const STAY_MS_MAX = 60_000
/** Each costs a few KB of the runner and of what the router is told, however small it is. */
const MODELS_MAX = 256
/** Weights as the engine arranges them, and room to compute: a guess, until it is measured. */
const BYTES_PER_FILE_BYTE = 1.5
const MEASURED_MAX = 10_000
const LOOK_AGAIN_MS = 250
const MIB = 2 ** 20

/** A model that is loaded, as the one sees it who may take it away. */
export type Holder = {
  /** 0: nobody knows. */
  residentBytes(): number
  /** When it was last asked for, Unix milliseconds. */
  usedAt(): number
  busy(): boolean
  /** Nobody gets it from now on; resolves when its memory is free. */
  evict(): Promise<void>
}
export type Room = {
  /**
   * The model is loaded, and measured by now. Throws `NoRoom` when it turns out not to fit: it must be
   * closed then, and is held no more.
   */
  settle(holder: Holder): Promise<void>
  /** It is closed, or was never loaded. */
  leave(): void
}
export type Memory = {
  /** Room for a model about to be loaded, made by taking away what is not in use. Throws `NoRoom`. */
  admit(model: { digest: string; fileBytes: number }): Promise<Room>
  usedBytes(): number
}

/** The model does not fit beside what is in use now, or not at all. */
export class NoRoom extends AppError {
  /** Before this it is not worth looking again: longer when it was loaded to be found too large. */
  lookAgainMs = LOOK_AGAIN_MS
}

type Entry = {
  digest: string
  expectedBytes: number
  holder: Holder | null
  admittedAt: number
  stayMs: number
}

export function openMemory(
  deps: { clock: Clock; log: Log },
  o: { budgetBytes: number; modelsMax?: number; overheadBytes(): number },
): Memory {
  const { clock, log } = deps
  const { budgetBytes, modelsMax = MODELS_MAX } = o
  const entries = new Set<Entry>()
  /** What models held when they were last here, by digest; the oldest first. */
  const measured = new Map<string, number>()
  let turn: Promise<unknown> = Promise.resolve()

  /** One after the other, so that nobody takes the room that another has just made. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = turn.then(work)
    turn = mine.catch(() => {})
    return mine
  }

  function remember(digest: string, bytes: number): void {
    measured.delete(digest)
    measured.set(digest, bytes)
    if (measured.size > MEASURED_MAX) measured.delete(measured.keys().next().value!)
  }

  const idleAt = ({ holder, stayMs }: Entry) =>
    holder === null || holder.busy() ? Number.POSITIVE_INFINITY : holder.usedAt() + stayMs

  async function makeRoom(entry: Entry): Promise<void> {
    const needed = bytesOf(entry)
    const others = [...entries].filter(other => other !== entry)
    const used = o.overheadBytes() + others.reduce((sum, other) => sum + bytesOf(other), 0)
    const now = clock.now()
    let over = used + needed - budgetBytes
    let many = entries.size - modelsMax
    const leaving: Entry[] = []
    const byUse = others.toSorted((a, b) => (a.holder?.usedAt() ?? 0) - (b.holder?.usedAt() ?? 0))
    for (const other of byUse) {
      if (over <= 0 && many <= 0) break
      if (idleAt(other) > now) continue
      leaving.push(other)
      over -= bytesOf(other)
      many--
    }
    // Nothing is taken away for a model that does not fit in the end.
    if (over > 0 || many > 0) {
      const soonest = Math.min(...others.map(idleAt).filter(at => at > now))
      throw refusal({ needed, used, budgetBytes, models: others.length }, soonest - now)
    }
    await Promise.all(leaving.map(evict))
  }

  async function evict(entry: Entry): Promise<void> {
    const bytes = bytesOf(entry)
    remember(entry.digest, bytes)
    entries.delete(entry)
    await entry.holder!.evict()
    log.info('runner.evicted', { digest: entry.digest, mb: mb(bytes) })
  }

  return {
    admit: ({ digest, fileBytes }) =>
      inTurn(async () => {
        const expectedBytes = measured.get(digest) ?? fileBytes * BYTES_PER_FILE_BYTE
        const admittedAt = clock.now()
        const entry: Entry = { digest, expectedBytes, holder: null, admittedAt, stayMs: 0 }
        entries.add(entry)
        try {
          await makeRoom(entry)
        } catch (error) {
          entries.delete(entry)
          throw error
        }
        return {
          settle: holder =>
            inTurn(async () => {
              entry.holder = holder
              entry.stayMs = Math.min(STAY_MS_MAX, (clock.now() - admittedAt) * STAY_PER_LOAD)
              remember(digest, bytesOf(entry))
              try {
                await makeRoom(entry)
              } catch (error) {
                entries.delete(entry)
                if (error instanceof NoRoom) error.lookAgainMs = LOOK_AGAIN_MS + entry.stayMs
                throw error
              }
            }),
          leave: () => void entries.delete(entry),
        }
      }),
    usedBytes: () =>
      [...entries].reduce((sum, entry) => sum + bytesOf(entry), 0) + o.overheadBytes(),
  }
}

function bytesOf({ holder, expectedBytes }: Entry): number {
  return holder?.residentBytes() || expectedBytes
}

/** `inMs`: when the first of the others may go; Infinity: none of them is known to. */
function refusal(
  found: { needed: number; used: number; budgetBytes: number; models: number },
  inMs: number,
): NoRoom {
  const { needed, used, budgetBytes, models } = found
  if (needed > budgetBytes) {
    return new NoRoom('unavailable', {
      public: `The model needs about ${mb(needed)} MB of memory; the models of this runner may hold ${mb(budgetBytes)} MB together.`,
      retryable: false,
    })
  }
  return new NoRoom('unavailable', {
    public: `The model needs about ${mb(needed)} MB of memory beside ${models} others that are in use and hold ${mb(used)} MB; together they may hold ${mb(budgetBytes)} MB. It is loaded once they rest.`,
    retryable: true,
    retryAfterS: Number.isFinite(inMs) ? Math.max(1, Math.ceil(inMs / 1000)) : 1,
  })
}

function mb(bytes: number): number {
  return Math.round(bytes / MIB)
}
