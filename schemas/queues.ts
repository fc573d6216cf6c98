/**
 * Every queue and its settings, as data: the local host, the functions' event sources and the cloud
 * stacks read the same table. Each queue has a dead-letter queue named `<name>-dead`.
 */
import { POOL_PRICES, type PoolName, USUAL_CLASS } from './cloud/pools.ts'

const WORK = { visibilityS: 15, receiveCountMax: 100, batchMax: 1, lateAfterS: 900 } as const
const VALIDATE = { visibilityS: 15, receiveCountMax: 20, batchMax: 1, lateAfterS: 900 } as const

/** What runners read: steps of runs, and versions that wait for validation. */
export type RunnerWork = 'work' | 'validate'
type Lane = Exclude<PoolName, typeof USUAL_CLASS> | 'other'
/** A pool of another class than the usual has queues of its own. */
export type RunnerQueue = RunnerWork | `${RunnerWork}-${Lane}`

export const QUEUES = {
  /** Steps of runs for machines of the usual class, one message a step; read by runners. */
  work: WORK,
  /** Uploaded model versions that wait for validation; read by runners. */
  validate: VALIDATE,
  // What asks for another class waits where runners of that class alone look, however long none is up.
  'work-gpu': WORK,
  'validate-gpu': VALIDATE,
  /** Of classes that are in no table of pools: names that an operator gave machines of their own. */
  'work-other': WORK,
  'validate-other': VALIDATE,
  /** Large uploads whose parts wait to be joined and verified; read by the functions. */
  uploads: {
    // For the function too: it says itself that it still works on a message.
    visibilityS: 60,
    receiveCountMax: 100,
    batchMax: 1,
    lateAfterS: 900,
    source: { function: 'verify', timeoutS: 600, windowS: 0, concurrencyMax: 4 },
  },
  /** Events that were acknowledged, some hundreds a message; read by the functions. */
  events: {
    visibilityS: 30,
    receiveCountMax: 50,
    batchMax: 10,
    lateAfterS: 120,
    source: { function: 'ingest', timeoutS: 30, windowS: 0, concurrencyMax: 20 },
  },
} as const satisfies Record<RunnerQueue, QueueSettings> & Record<string, QueueSettings>

export type QueueSettings = {
  /** Seconds for which a received message is hidden from other readers. */
  visibilityS: number
  /** Receives after which a message moves to the dead-letter queue: a guard against poison. */
  receiveCountMax: number
  /** Messages per receive. */
  batchMax: number
  /** Age of the oldest message, in seconds, at which somebody is called. */
  lateAfterS: number
  /** How a function is started with the messages of this queue; runners receive theirs themselves. */
  source?: EventSource
}
export type EventSource = {
  function: string
  /** After which an invocation is ended. */
  timeoutS: number
  /** How long messages are gathered before an invocation begins. */
  windowS: number
  /** Invocations side by side, 2 to 1,000: it bounds the connections to the database too. */
  concurrencyMax: number
}
export type QueueName = keyof typeof QUEUES

/**
 * Seconds for which a message is hidden where an event source receives it. The local host says every few
 * seconds that it still works on a message; an event source does not, so that AWS asks for six times the
 * function's time-out and the window, or a message comes again while its first reader still works.
 */
export function sourceVisibilityS({ visibilityS, source }: QueueSettings): number {
  return source ? Math.max(visibilityS, 6 * source.timeoutS + source.windowS) : visibilityS
}

/** Where work waits that asks for this class of hardware; for none, where runners of the usual class look. */
export function queueFor(work: RunnerWork, hardware: string = USUAL_CLASS): RunnerQueue {
  if (hardware === USUAL_CLASS) return work
  return `${work}-${isPool(hardware) ? hardware : 'other'}`
}

/** The queues that a runner reads: of its class and, unless that is all that it is there for, of what asks for none. */
export function queuesOf(
  work: RunnerWork,
  { hardware, isDedicated }: { hardware: string; isDedicated: boolean },
): RunnerQueue[] {
  const own = queueFor(work, hardware)
  return isDedicated || own === work ? [own] : [own, work]
}

/** Whether several classes look there. */
export function isShared(queue: RunnerQueue): boolean {
  return queue === 'work-other' || queue === 'validate-other'
}

function isPool(hardware: string): hardware is Exclude<PoolName, typeof USUAL_CLASS> {
  return Object.hasOwn(POOL_PRICES, hardware)
}
