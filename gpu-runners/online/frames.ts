/** What router and runner say to each other, by the type of the frame. */
import { type Beat, HELLO } from '#platform/channel/channel.ts'

/** A machine that is gone sends no end: after ten seconds of silence its requests go to another. */
export const BEAT: Beat = { everyMs: 2_000, silentMax: 5 }

export const FRAME = {
  /** runner → router, first: a signed token and the runner's name. */
  hello: HELLO,
  /** runner → router: the digests that are warm now. */
  warm: 2,
  /** router → runner: what the requests that name this id share. */
  context: 3,
  infer: 4,
  reply: 5,
  error: 6,
  /** router → runner: the caller has gone. */
  cancel: 7,
  /** runner → router: so many receipts of this channel, from its start, are in the ledger. */
  shipped: 8,
  /** runner → router: send nothing new. */
  drain: 9,
  /** router → runner: a question to the runner itself. */
  ask: 10,
  /** runner → router: its answer, under the question's id. */
  answer: 11,
  /**
   * router → runner, before a request that is traced and under its id: where it stands in its trace. A frame
   * of its own, so that the others pay nothing for it, and a runner that does not know it goes on.
   */
  trace: 12,
} as const
