/**
 * Joins calls that are made at the same time into one: while a batch is on its way the next one fills.
 * There is no timer, so a lone call waits for nothing.
 */
type BatchLimits<T> = {
  itemsMax: number
  /** Of all items of a batch, in the unit of `weigh`; a heavier item goes alone. */
  weightMax: number
  weigh(item: T): number
  inFlightMax: number
}
type Call<T> = { items: T[]; resolve: () => void; reject: (reason: unknown) => void }

/** Calls `run` with the items of one or more calls; each call settles as its own batches do. */
export function microBatch<T>(run: (items: T[]) => Promise<unknown>, limits: BatchLimits<T>) {
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
    try {
      await run(calls.flatMap(call => call.items))
      for (const call of calls) call.resolve()
    } catch (error) {
      for (const call of calls) call.reject(error)
    } finally {
      inFlight--
      schedule()
    }
  }

  function enqueue(items: T[]): Promise<void> {
    return new Promise((resolve, reject) => {
      waiting.push({ items, resolve, reject })
      schedule()
    })
  }

  return async (items: T[]): Promise<void> => {
    await Promise.all(chunks(items, limits).map(enqueue))
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
