/**
 * Online inference on a runner: a frame comes in, its tensors join a batch, its reply leaves in a frame.
 * All replies of one turn share one write to the receipt log, and none leaves before it.
 */
import type { Clock, Log, Tracer } from '#core/deps.ts'
import { AppError, isWorthALine } from '#core/error.ts'
import type { ServedCounts } from '#core/router.ts'
import { contextLine, receiptLine } from '#core/usage/receipt-log.ts'
import type { Served } from '#gpu-runners/dialling/link.ts'
import { OwnReceipts } from '#gpu-runners/dialling/own-receipts.ts'
import type { Resident, Residents } from '#gpu-runners/models/residents.ts'
import { type Channel, FRAME_BYTES_MAX, fromJsonPart, jsonPart } from '#platform/channel/channel.ts'
import { SHARES } from '#schemas/plans.ts'
import { type Done, embedBody, inferBody } from './bodies.ts'
import { FRAME } from './frames.ts'
import type { InferenceLog } from './inference-log.ts'
import type { Measures } from './measures.ts'
import { digestMark, type InferHead, readInfer, replyHead, type Shared } from './messages.ts'
import { answerTo, errorPart, type Question } from './questions.ts'
import type { NumberedContext, ReceiptLog } from './receipt-log.ts'
import { onlineReceipt, receiptContextOf } from './receipts.ts'
import { CONTEXTS_MAX } from './shared-contexts.ts'
import { countFailure, countSuccess, type Statistics } from './statistics.ts'
import { type Leaving, leavingOf, type TracedInference, TracedInferences } from './traced.ts'

type Context = Shared & { numbered: NumberedContext; counts: ServedCounts }
/** `made`: a mark of the model that ran. */
type Made = Done & { made: number }
type Reply = { id: number; context: Context; line: string; frame: Uint8Array[]; left: Leaving }
type Asked = {
  id: number
  context: Context
  head: InferHead
  body: Buffer
  traced: TracedInference | null
}

/** What a frame holds, less its head and some room. */
const REPLY_BYTES_MAX = FRAME_BYTES_MAX - 65_536

export type OnlineDeps = {
  residents: Residents
  receipts: ReceiptLog
  measures: Pick<Measures, 'snapshot'>
  statistics: Statistics
  inferenceLog: Pick<InferenceLog, 'note'>
  clock: Clock
  log: Log
  /** Null: nothing is traced. */
  tracer: Tracer | null
}

/** Numbers of contexts in this process's receipts, whichever channel they came by. */
let nextNumber = 0

/** Serves the frames of one channel. */
export function serveOnline(deps: OnlineDeps, channel: Channel): Served {
  const contexts = new Map<number, Context>()
  const running = new Map<number, { aborted: boolean }>()
  const own = new OwnReceipts()
  const traces = new TracedInferences(deps.tracer)
  let replies: Reply[] = []
  /** Resolves when what was held back for the disk has left; null: nothing is. */
  let waiting: Promise<void> | null = null
  let heldBack = 0
  let ended = false

  function onFrame(type: number, id: number, payload: Buffer): void {
    if (type === FRAME.infer) infer(id, payload).catch(error => sendError(id, error))
    else if (type === FRAME.cancel) depart(id)
    else if (type === FRAME.ask) onQuestion(id, fromJsonPart<Question>(payload))
    else if (type === FRAME.context) addContext(id, fromJsonPart<Shared>(payload))
    else if (type === FRAME.trace) traces.hear(id, payload)
  }

  async function onQuestion(id: number, asked: Question): Promise<void> {
    channel.send(FRAME.answer, id, [jsonPart(await answerTo(deps, asked))])
  }

  function addContext(id: number, shared: Shared): void {
    const number = nextNumber++
    const numbered = { number, line: contextLine(number, receiptContextOf(shared)) }
    const counts = deps.statistics.of(shared.caller.tenantId, shared.model)
    contexts.set(id, { ...shared, numbered, counts })
    // Of those that the router still names none is among the older half.
    if (contexts.size > CONTEXTS_MAX * 2) contexts.delete(contexts.keys().next().value!)
  }

  function depart(id: number): void {
    const caller = running.get(id)
    if (caller) caller.aborted = true
  }

  async function infer(id: number, payload: Buffer): Promise<void> {
    const { head, body } = readInfer(payload)
    const context = contexts.get(head.context)
    const traced = traces.take(id, context, head)
    if (!context) {
      const fault = new AppError('internal', { internal: `no context ${head.context}` })
      traced?.end({ fault })
      sendError(id, fault)
      return
    }
    const asked = { id, context, head, body, traced }
    const caller = { aborted: false }
    const began = performance.now()
    let resident: Resident | undefined
    running.set(id, caller)
    try {
      const { model } = context
      resident =
        deps.residents.warm(model.digest) ??
        (await deps.residents.get(context.caller.tenantId, model))
      resident.serving++
      resident.users.add(context.caller.tenantId)
      const done = await run(resident, asked, caller)
      const tookMs = performance.now() - began
      countSuccess(context.counts, done, { tookMs, atMs: deps.clock.now() })
      reply(asked, done)
    } catch (error) {
      countFailure(context.counts, performance.now() - began)
      traced?.end({ fault: error })
      fail(id, context, error)
    } finally {
      if (resident) resident.serving--
      running.delete(id)
    }
  }

  async function run(
    resident: Resident,
    { context, head, body, traced }: Asked,
    signal: { aborted: boolean },
  ): Promise<Made> {
    const { tenantId, plan } = context.caller
    const asks = { tenant: tenantId, weight: SHARES[plan], deadlineMs: head.deadline, signal }
    const who = traced ? { ...asks, trace: traced.context } : asks
    const done =
      head.form === 'embeddings'
        ? await embedBody(resident, context.model, body, who)
        : await inferBody(resident, context.model, head, body, who)
    if (done.body.length > REPLY_BYTES_MAX) {
      throw new AppError('inference_failed', {
        public: `The answer has ${done.body.length} bytes; ${REPLY_BYTES_MAX} is the most. Send fewer rows at once.`,
      })
    }
    // By the model that ran, not by the one that was asked for: the router holds them together.
    return { ...done, made: digestMark(resident.model.digest) }
  }

  function reply({ id, context, head, body, traced }: Asked, done: Made): void {
    const receipt = onlineReceipt(context.caller.tenantId, {
      work: head.requestId,
      at: deps.clock.now(),
      rows: done.rows,
      computeUs: done.computeUs,
      bytesIn: body.length,
      bytesOut: done.body.length,
      tokens: done.tokens,
    })
    // Of what answers nobody the tenant is told nothing: it would be read as what callers asked.
    if (done.answered && !context.kind) deps.inferenceLog.note(context, receipt, done.answered)
    const line = receiptLine(context.numbered.number, receipt)
    const { jsonLength, computeUs, made } = done
    const frameHead = replyHead({ jsonLength, line, receiptId: receipt.id, computeUs, made })
    if (replies.length === 0) setImmediate(flush)
    const left = traced && leavingOf(traced, { ...done, receiptId: receipt.id })
    replies.push({ id, context, line, frame: [frameHead, done.body], left })
  }

  function flush(): void {
    const ready = replies
    replies = []
    // What cannot be answered is not billed: the router asks another runner, if it is still there.
    if (ended) {
      for (const { left } of ready) left?.(new AppError('canceled'))
      return
    }
    try {
      deps.receipts.append(ready.map(({ context, line }) => ({ context: context.numbered, line })))
      own.wrote(ready.length, deps.receipts.count())
    } catch (error) {
      const fault = noReceipt(error)
      for (const { id, context, left } of ready) {
        left?.(fault)
        fail(id, context, fault)
      }
      return
    }
    // In the order of their receipts: the router counts its copies off in it.
    const held = deps.receipts.overdue()
    if (!held && !waiting) send(ready)
    else holdBack(ready, held)
  }

  function send(ready: readonly Reply[]): void {
    for (const { id, frame, left } of ready) {
      left?.()
      channel.send(FRAME.reply, id, frame)
    }
    channel.flush()
  }

  /** Replies whose receipts wait for the disk, and all that come after them meanwhile. */
  function holdBack(ready: readonly Reply[], held: Promise<void> | null): void {
    heldBack += ready.length
    const turn = Promise.all([waiting, held]).then(() => {
      heldBack -= ready.length
      send(ready)
      if (waiting === turn) waiting = null
    })
    waiting = turn
  }

  function fail(id: number, { model }: Context, error: unknown): void {
    const known = error instanceof AppError ? error : new AppError('internal', { cause: error })
    if (isWorthALine(known)) {
      deps.log.error('runner.failed', {
        model: model.model,
        digest: model.digest,
        code: known.code,
        error: String(error instanceof Error ? error.stack : error),
      })
    }
    sendError(id, known)
  }

  function sendError(id: number, error: unknown): void {
    channel.send(FRAME.error, id, [jsonPart(errorPart(error))])
  }

  return {
    onFrame,
    end() {
      ended = true
      for (const caller of running.values()) caller.aborted = true
    },
    inFlight: () => running.size + replies.length + heldBack,
    shipped: total => own.shipped(total),
  }
}

/** Work without a receipt is not answered: what is not written cannot be billed, and would be given away. */
function noReceipt(cause: unknown): AppError {
  const full = (cause as NodeJS.ErrnoException).code === 'ENOSPC'
  return new AppError(full ? 'insufficient_storage' : 'internal', {
    internal: `receipt log: ${String(cause)}`,
    cause,
  })
}
