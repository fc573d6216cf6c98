/** Calls of SQS that take ten entries at once, and say of each what became of it. */
import { AppError } from '#core/error.ts'
import type { Errors } from './batch.ts'
import { sqsFault } from './sqs-client.ts'
import { nap } from './unavailable.ts'

const TRIES_MAX = 5
const RETRY_MS_FIRST = 50

type Entry = { Id: string }
type Outcome = { Successful?: { Id?: string }[]; Failed?: Failure[] }
type Failure = { Id?: string; Code?: string; Message?: string; SenderFault?: boolean }
type Call<E> = {
  action: string
  url: string
  send(entries: E[]): Promise<Outcome>
  /** Of a failure that is as good as none. */
  isDone?(failure: Failure): boolean
}

/**
 * What went wrong with each entry in the end. What failed by no fault of its sender is sent again, with a
 * pause; so is what the answer does not name, for it may not be stored.
 */
export async function untilAllDone<E extends Entry>(entries: E[], call: Call<E>): Promise<Errors> {
  const errors = new Map<string, unknown>()
  let left = entries
  for (let tries = 1; left.length > 0; tries++) {
    try {
      const again: E[] = []
      for (const [entry, failure] of failuresOf(left, await call.send(left))) {
        if (call.isDone?.(failure)) continue
        if (tries < TRIES_MAX && !failure.SenderFault) again.push(entry)
        else errors.set(entry.Id, refusal(failure, call))
      }
      left = again
    } catch (error) {
      const fault = sqsFault(error, call.action, call.url)
      // SQS does not take the call as it is: one of them may be the reason, and the others are not to suffer for it.
      const isOfOne = !(fault instanceof AppError) && left.length > 1
      for (const entry of left) {
        const [own] = isOfOne ? await untilAllDone([entry], call) : [fault]
        if (own !== undefined) errors.set(entry.Id, own)
      }
      break
    }
    if (left.length > 0) await nap(Math.random() * RETRY_MS_FIRST * 2 ** tries)
  }
  return entries.map(({ Id }) => errors.get(Id))
}

function failuresOf<E extends Entry>(
  entries: E[],
  { Successful = [], Failed = [] }: Outcome,
): [E, Failure][] {
  const done = new Set(Successful.map(({ Id }) => Id))
  const failed = new Map(Failed.map(failure => [failure.Id, failure]))
  return entries.flatMap((entry): [E, Failure][] => {
    const failure = failed.get(entry.Id) ?? (done.has(entry.Id) ? null : UNNAMED)
    return failure ? [[entry, failure]] : []
  })
}

const UNNAMED: Failure = { Code: 'unknown', Message: 'the answer does not name it' }

function refusal(failure: Failure, { action, url }: Pick<Call<never>, 'action' | 'url'>): AppError {
  const { Code, Message, SenderFault } = failure
  const internal = `SQS refused one of a batch, ${action} on ${url}: ${Code} ${Message}`
  if (SenderFault) return new AppError('internal', { internal })
  return new AppError('unavailable', {
    public: 'The queue cannot take this now. Try again in a moment.',
    internal,
    retryable: true,
  })
}

/** The message is gone, in another's hands, or was never ours: nothing that a caller could mend. */
export function isOldReceipt(failure: Failure): boolean {
  if (/ReceiptHandleIsInvalid|MessageNotInflight/.test(failure.Code ?? '')) return true
  return (
    /InvalidParameterValue/.test(failure.Code ?? '') &&
    /receipt handle|ReceiptHandle/i.test(failure.Message ?? '')
  )
}
