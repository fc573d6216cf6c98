/**
 * Joins calls that are made at the same time into one: while a batch is on its way the next one fills.
 * There is no timer, so a lone call waits for nothing.
 */
import { PartlyDone } from '#core/error.ts'

type BatchLimits<T> = {
  itemsMax: number
  /** Of all items of a batch, in the unit of `weigh`; a heavier item goes alone. */
  weightMax: number
  weigh(item: T): number
  inFlightMax: number
}
/** What went wrong with each item, by position; undefined: it is done. */
export type Errors = readonly unknown[]
type Call<T> = { items: T[]; settle(errors: Errors): void }

/**
 * Calls `run` with the items of one or more calls: it rejects when nothing is known to be done. Each call settles as its own
 * items do, whatever became of those of others. It rejects with what went wrong first, as `PartlyDone` where
 * something else of it was done.
 */
export function microBatch<T>(
  run: (items: T[]) => Promise<Errors | undefined>,
  limits: BatchLimits<T>,
) {
  const waiting: Call<T>[] = []
  let inFlight = 0
  let scheduled = false

  function schedule(): void {
    if (scheduled || waiting.length === 0 || inFlight >= limits.inFlightMax) return
    scheduled = true
    setImmediate(() => {
      scheduled = false
      void flush(takeBatch(waiting, limits))
      schedule()
    })
  }

  async function flush(calls: Call<T>[]): Promise<void> {
    inFlight++
    const items = calls.flatMap(call => call.items)
    const errors = await run(items).catch(error => items.map(() => error))
    let at = 0
    for (const call of calls) {
      const end = at + call.items.length
      call.settle(errors ? errors.slice(at, end) : [])
      at = end
    }
    inFlight--
    schedule()
  }

  function enqueue(items: T[]): Promise<Errors> {
    return new Promise(settle => {
      waiting.push({ items, settle })
      schedule()
    })
  }

  return async (items: T[]): Promise<void> => {
    const undone = new Map<number, unknown>()
    const add = async (chunk: T[], from: number) => {
      for (const [at, error] of (await enqueue(chunk)).entries()) {
        if (error !== undefined) undone.set(from + at, error)
      }
    }
    let from = 0
    const adding: Promise<void>[] = []
    for (const chunk of chunks(items, limits)) {
      adding.push(add(chunk, from))
      from += chunk.length
    }
    await Promise.all(adding)
    if (undone.size === 0) return
    const [first] = undone.values()
    throw undone.size === items.length ? first : new PartlyDone(first, new Set(undone.keys()))
  }
}

/** Cuts a list where a batch would be over its limits. */
function chunks<T>(
  items: T[],
  limits: Pick<BatchLimits<T>, 'itemsMax' | 'weightMax' | 'weigh'>,
): T[][] {
  const out: T[][] = []
  let weight = 0
  for (const item of items) {
    const more = limits.weigh(item)
    const last = out.at(-1)
    if (last && last.length < limits.itemsMax && weight + more <= limits.weightMax) {
      last.push(item)
      weight += more
    } else {
      out.push([item])
      weight = more
    }
  }
  return out
}

function takeBatch<T>(waiting: Call<T>[], limits: BatchLimits<T>): Call<T>[] {
  let items = 0
  let weight = 0
  let calls = 0
  for (const call of waiting) {
    items += call.items.length
    for (const item of call.items) weight += limits.weigh(item)
    if (calls > 0 && (items > limits.itemsMax || weight > limits.weightMax)) break
    calls++
  }
  return waiting.splice(0, calls)
}
