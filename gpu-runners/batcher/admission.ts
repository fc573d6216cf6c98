/**
 * Who may wait: refused at once is what the queue has no room for, and what could not be answered before
 * its deadline. Both say when to come back.
 */
import { AppError } from '#core/error.ts'
import { type Ask, LEVEL_USUAL, type Waiting } from './ask.ts'
import type { FairQueue } from './fair-queue.ts'
import type { Pace } from './pace.ts'

/**
 * What holds for whoever of the tenant asks next and is no more urgent than usual: until `untilMs`, that is
 * for `forMs`, nothing leaves the queue, and not even one row is taken whose deadline is before `doneMs`.
 * Points in time are milliseconds since 1970.
 */
export type Full = { untilMs: number; forMs: number; doneMs: number }

/** Refused for what waits. */
export class Overloaded extends AppError {
  readonly full: Full | null

  constructor(text: string, waitMs: number, full: Full | null) {
    const retryAfterS = Math.max(1, Math.ceil(waitMs / 1_000))
    super('overloaded', { public: text, retryable: true, retryAfterS })
    this.full = full
  }
}

export type QueueLimits = { queueRowsMax: number; queueBytesMax: number; batchRowsMax: number }

/** An answer still has to be written, and to pass the router and the edge. */
const REPLY_MS = 5
/** So many times the average error of the predictions is kept in reserve when a request is taken in. */
const ERRORS_KEPT = 2
/** A run that takes ten times its fixed part wastes a tenth; longer ones only make everybody wait. */
const FIXED_PARTS = 10
/** Of a request's time; runs do not end exactly where they were foreseen. */
const SLACK = 1 / 8
/** Of a request's time, at most what is to spare of it. */
const SPARE_MAX = 1 / 4
/** So many runs as long as suits a request have room in its time. */
const RUNS = 8
/** What a request brings towards looking through the queue for those who have left. */
const SWEPT_PER_REQUEST = 16

/** The parts of a request's time are worked out from `pace`, what waits and what runs. */
export function createAdmission(
  queue: FairQueue,
  pace: Pace,
  limits: QueueLimits,
  o: {
    isDead(ask: Ask): boolean
    /** Whether requests share runs at all. */
    isShared(): boolean
  },
) {
  const { isDead, isShared } = o
  let sweepable = 0

  /** Null: it may wait. */
  function refusal(one: Waiting): AppError | null {
    sweepable = Math.min(queue.size, sweepable + SWEPT_PER_REQUEST)
    const no = noRoom(one) ?? tooLate(one)
    // Looking through the queue for each one refused would cost more than a flood of them.
    if (!no || sweepable < queue.size) return no
    sweepable = 0
    queue.sweep(isDead)
    return noRoom(one) ?? tooLate(one)
  }

  /** A tenant may fill as much as is left for others (dynamic thresholds; Choudhury, Hahne 1998). */
  function noRoom(one: Waiting): AppError | null {
    const { tenant, rows, bytes } = one
    if (queue.size === 0) return null
    const own = queue.of(tenant)
    const isFull =
      own.rows + rows > limits.queueRowsMax - queue.rows ||
      own.bytes + bytes > limits.queueBytesMax - queue.bytes
    if (!isFull) return null
    const waitMs = pace.rowsMs(queue.rows, limits.batchRowsMax)
    const takesNone = own.rows + 1 > limits.queueRowsMax - queue.rows
    return new Overloaded(
      `${queue.rows} rows wait for this model, ${own.rows} of them yours; its queue does not take these ${rows} as well.`,
      waitMs,
      takesNone ? full(one, Number.POSITIVE_INFINITY, () => Number.MAX_SAFE_INTEGER) : null,
    )
  }

  /**
   * `forMs`: so long one of a single row that has as much time would be refused, if nothing left the queue.
   * `withinMs` gives the least time, from now on, of one that is taken in so many milliseconds at most.
   */
  function full(
    { level, queuedMs }: Waiting,
    forMs: number,
    withinMs: (sureMs: number) => number,
  ): Full | null {
    const sureMs = Math.min(forMs, pace.foreseenMs() - pace.errorMs())
    // Who is less urgent than usual waits behind others.
    if (level > LEVEL_USUAL || sureMs <= 0) return null
    return { untilMs: queuedMs + sureMs, forMs: sureMs, doneMs: queuedMs + withinMs(sureMs) }
  }

  function tooLate(one: Waiting): AppError | null {
    const inMs = one.deadlineMs - one.queuedMs
    const runningMs = pace.leftMs()
    // Without others there is nothing to lose: the run shows whether it was right.
    if (inMs === Number.POSITIVE_INFINITY || (queue.size === 0 && runningMs === 0)) return null
    if (inMs <= 0) return new AppError('deadline_exceeded', { public: PASSED })
    const neededMs = (rows: number, before: number) =>
      runningMs + runsMs(rows, before, inMs) + spareMs(inMs)
    if (neededMs(one.rows, queue.rows) <= inMs) return null
    const before = queue.rowsBefore(one)
    const needMs = neededMs(one.rows, before)
    if (needMs <= inMs) return null
    const least = { ...one, rows: Math.min(one.rows, 1) }
    const leastBefore = queue.rowsBefore(least)
    const forMs = neededMs(least.rows, leastBefore) - inMs
    return new Overloaded(
      `${Math.ceil(before)} rows are before these ${one.rows}: they would be done in about ${Math.ceil(needMs)} ms, and the deadline is in ${Math.floor(inMs)} ms.`,
      needMs - inMs,
      full(one, forMs, sureMs => takenWithinMs(least.rows, leastBefore, runningMs, sureMs)),
    )
  }

  /**
   * When the first deadline is that `tooLate` takes at some moment of the next `sureMs`, from now on, while
   * nothing leaves the queue. Who has more time waits for longer runs, of which there are fewer: so each length is
   * tried, for those whose time it suits. The longer one of them waits to ask, the less is left of the
   * run that goes on, and of their time: they are taken with least when both are just enough.
   */
  function takenWithinMs(rows: number, before: number, runningMs: number, sureMs: number): number {
    if (!isShared()) return sureMs + timeFor(runningMs + aloneMs(rows, before) - sureMs)
    let firstMs = Number.POSITIVE_INFINITY
    let suitsMs = 0
    const { batchRowsMax } = limits
    for (let rowsMax = Math.min(batchRowsMax, pace.rowsIn(0)); suitsMs < firstMs; rowsMax++) {
      const nextMs = rowsMax < batchRowsMax ? timeForRuns(rowsMax + 1) : Number.POSITIVE_INFINITY
      const doneMs = runningMs + sharedMs(rows, before, rowsMax)
      const askedMs = Math.min(sureMs, Math.max(0, doneMs - suitsMs + spareMs(suitsMs)))
      const neededMs = Math.max(suitsMs, timeFor(doneMs - askedMs))
      if (neededMs < nextMs) firstMs = Math.min(firstMs, askedMs + neededMs)
      suitsMs = nextMs
    }
    return firstMs
  }

  /** The runs for so many rows before it, and its own, which others may fill up behind it. */
  function runsMs(rows: number, before: number, inMs: number): number {
    if (!isShared()) return aloneMs(rows, before)
    const rowsMax = Math.min(limits.batchRowsMax, pace.rowsIn(longestRunMs(inMs)))
    return sharedMs(rows, before, rowsMax)
  }

  function aloneMs(rows: number, before: number): number {
    const requests = queue.rows === 0 ? 0 : (queue.size * before) / queue.rows
    return pace.runMs(before + rows) + pace.fixedMs() * requests
  }

  /** In runs of so many rows. */
  function sharedMs(rows: number, before: number, rowsMax: number): number {
    const fullMs = pace.runMs(rowsMax)
    if (rows <= rowsMax) return fullMs * (1 + Math.floor((before + rows - 1) / rowsMax))
    return fullMs * Math.ceil(before / rowsMax) + pace.rowsMs(rows, limits.batchRowsMax)
  }

  /**
   * The longest run that suits a request which has so much time: it may have to wait for one such run
   * before its own. Shorter ones are as good as soon as their fixed part is small in them.
   */
  function longestRunMs(inMs: number): number {
    const most = (inMs - spareMs(inMs)) / 2
    return Math.min(most, Math.max(inMs / RUNS, FIXED_PARTS * pace.fixedMs()))
  }

  function spareMs(inMs: number): number {
    return Math.min(REPLY_MS + ERRORS_KEPT * pace.errorMs() + SLACK * inMs, SPARE_MAX * inMs)
  }

  /** The least time of which a run as long as one of so many rows is the longest that suits it. */
  function timeForRuns(rows: number): number {
    const runMs = pace.runMs(rows)
    return Math.max(timeFor(2 * runMs), runMs > FIXED_PARTS * pace.fixedMs() ? RUNS * runMs : 0)
  }

  /** The time of which so much is left beside what is to spare. */
  function timeFor(ms: number): number {
    const atLeastMs = REPLY_MS + ERRORS_KEPT * pace.errorMs()
    return Math.max(0, Math.min((ms + atLeastMs) / (1 - SLACK), ms / (1 - SPARE_MAX)))
  }

  /** How long a run may take that begins now and has this request in it. */
  function roomMs({ deadlineMs, queuedMs }: Ask, now: number): number {
    if (deadlineMs === Number.POSITIVE_INFINITY) return deadlineMs
    const inMs = deadlineMs - queuedMs
    return Math.min(leftMs(deadlineMs, inMs, now), longestRunMs(inMs))
  }

  /**
   * Whether it is too late for a run as long as it should be: one made shorter for its sake would cost
   * those behind it.
   */
  function isHopeless({ deadlineMs, queuedMs, rows, key }: Ask, now: number): boolean {
    if (deadlineMs === Number.POSITIVE_INFINITY) return false
    const inMs = deadlineMs - queuedMs
    const withOthers = key === null ? 0 : pace.runMs(queue.rows)
    const runMs = Math.max(pace.runMs(rows), Math.min(withOthers, longestRunMs(inMs)))
    return leftMs(deadlineMs, inMs, now) < runMs
  }

  /** For the run, if the answer is to be there in time. */
  function leftMs(deadlineMs: number, inMs: number, now: number): number {
    return deadlineMs - now - Math.min(REPLY_MS, inMs / 4)
  }

  return { refusal, roomMs, isHopeless }
}

const PASSED = 'The deadline had passed when the request came to the model; nothing was computed.'
