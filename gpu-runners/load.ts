/**
 * Which part of its time a runner spends on online requests, over the last seconds: that of whatever of it has
 * the least left (the bottleneck law: Denning and Buzen, "The operational analysis of queueing network models",
 * 1978). Runs of one engine process go one after the other, all processes share the cores, and every request
 * passes the main thread. Beside other work the main thread is left out: it does not say for whom it worked.
 */

/** Long enough for a request every few seconds to be seen without a break. */
const WINDOW_MS = 10_000

/** An engine process of online models. */
export type Slot = {
  pid: number
  /** How long it has worked on runs since it started, up to now. */
  workedMs: number
  /** Inside one run. */
  threads: number
}
export type Load = {
  /** Sees how things stand. To be called about every second, evenly or not. */
  look(): void
  /** From 0 to 1, between the oldest look of the window and the newest. */
  share(): number
  /** Work that is not online begins; what it returns is called when it ends. */
  other(): () => void
}

type Seen = { atMs: number; slots: ReadonlyMap<number, Slot>; loopMs: number }

export function openLoad(
  o: {
    /** Milliseconds from any beginning, with fractions. */
    now(): number
    slots(): Iterable<Slot>
    /** How long the main thread has worked, on anything. */
    loopMs(): number
    cores: number
  },
  windowMs = WINDOW_MS,
): Load {
  /** The oldest first; no more than one of them is older than the window. */
  let seen: Seen[] = []
  let others = 0
  /** There was other work since the last look. */
  let isMixed = false
  let lastLoopMs = o.loopMs()
  let onlineLoopMs = 0

  function look(): void {
    const atMs = o.now()
    const before = seen.at(-1)?.slots
    const began = seen[0]?.slots
    const workedIn = (of: typeof before, pid: number) => of?.get(pid)?.workedMs ?? 0
    // A process that has ended counts with what it was seen to have done.
    const slots = new Map(
      [...(before ?? [])].filter(([pid, { workedMs }]) => workedMs > workedIn(began, pid)),
    )
    let hasRun = false
    for (const slot of o.slots()) {
      hasRun ||= slot.workedMs > workedIn(before, slot.pid)
      slots.set(slot.pid, slot)
    }
    const loopMs = o.loopMs()
    if (hasRun && !isMixed) onlineLoopMs += loopMs - lastLoopMs
    lastLoopMs = loopMs
    isMixed = others > 0
    const from = seen.findLastIndex(one => one.atMs <= atMs - windowMs)
    seen = [...seen.slice(Math.max(0, from)), { atMs, slots, loopMs: onlineLoopMs }]
  }

  function share(): number {
    const first = seen[0]
    const last = seen.at(-1)
    if (!first || !last || last.atMs <= first.atMs) return 0
    let most = last.loopMs - first.loopMs
    let onCores = 0
    for (const { pid, workedMs, threads } of last.slots.values()) {
      // The first look of one that has been there before came before its work.
      const worked = Math.max(0, workedMs - (first.slots.get(pid)?.workedMs ?? 0))
      most = Math.max(most, worked)
      onCores += worked * threads
    }
    most = Math.max(most, onCores / o.cores)
    return Math.min(1, most / (last.atMs - first.atMs))
  }

  return {
    look,
    share,
    other() {
      others++
      isMixed = true
      return () => void others--
    },
  }
}
