/**
 * What the functions do by the clock, as data: the local host and the cloud stacks read the same table.
 * A schedule of the cloud cannot be shorter than a minute, so that what is due more often repeats within
 * its invocation.
 */
export const SCHEDULES = {
  /** Sends what transactions promised and did not send at once. */
  relay: { everyS: 1, timeoutS: 58 },
  /** Ends what expired: runs, leases, idempotency records. */
  sweep: { everyS: 10, timeoutS: 58 },
  /** Says how many runners there are to be; a start takes a minute or two, so that seconds do not matter more. */
  capacity: { everyS: 5, timeoutS: 58 },
  /** Closes the log's hours; an hour of it may take minutes. */
  tend: { everyS: 60, timeoutS: 840 },
} as const satisfies Record<string, Schedule>

export type Schedule = {
  everyS: number
  /** After which an invocation is ended; runs of one schedule never overlap. */
  timeoutS: number
}
