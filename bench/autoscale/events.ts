/** What happens next: a binary heap by time; what was planned first goes first at the same time. */

type Planned = { atS: number; order: number; run: () => void }

export class Events {
  #heap: Planned[] = []
  #order = 0
  nowS = 0

  at(atS: number, run: () => void): void {
    const heap = this.#heap
    const planned = { atS: Math.max(atS, this.nowS), order: this.#order++, run }
    let i = heap.length
    heap.push(planned)
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!isBefore(planned, heap[parent]!)) break
      heap[i] = heap[parent]!
      i = parent
    }
    heap[i] = planned
  }

  in(s: number, run: () => void): void {
    this.at(this.nowS + s, run)
  }

  /** Runs events until `isDone` or there are none. */
  run(isDone: () => boolean): void {
    while (this.#heap.length > 0 && !isDone()) {
      const next = this.#take()
      this.nowS = next.atS
      next.run()
    }
  }

  #take(): Planned {
    const heap = this.#heap
    const first = heap[0]!
    const last = heap.pop()!
    if (heap.length === 0) return first
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, last)) break
      heap[i] = heap[child]!
      i = child
    }
    heap[i] = last
    return first
  }
}

function isBefore(a: Planned, b: Planned): boolean {
  return a.atS < b.atS || (a.atS === b.atS && a.order < b.order)
}
