/**
 * Some requests of a batch: each is answered as it would be online, those of a window together, so that
 * rows of one length share a run. A request that is wrong becomes a line of the errors; what is no
 * request's fault ends the step, to be tried again.
 */
import type { Blobs, Clock, Servable } from '#core/deps.ts'
import { AppError, openaiError, problem } from '#core/error.ts'
import type { Assignment, Outcome } from '#core/inference/batches/batches.ts'
import { embeddingsRequest } from '#core/inference/embeddings/embeddings.ts'
import type { ShardInput } from '#core/jobs/jobs.ts'
import { createBatcher } from '#gpu-runners/batcher/batcher.ts'
import { eachLine } from '#gpu-runners/bulk/codec/each-line.ts'
import { opened, withChunks } from '#gpu-runners/bulk/parts.ts'
import type { LoadedModel } from '#gpu-runners/engines/engine.ts'
import { batchLimitsOf } from '#gpu-runners/models/residents.ts'
import { embed } from '#gpu-runners/text/embed.ts'
import { embeddingsReply } from '#gpu-runners/text/reply.ts'
import type { OpenTokenizer } from '#gpu-runners/text/tokenizers.ts'

/** Requests, and characters of them, that are worked on at a time. */
const WINDOW_REQUESTS = 64
const WINDOW_CHARS = 262_144
/** Not the request's fault: another time, or another runner, may do better. */
const PASSING = ['unavailable', 'overloaded', 'internal', 'canceled', 'insufficient_storage']

export type ShardDeps = {
  blobs: Blobs
  clock: Clock
  model: LoadedModel
  servable: Servable
  tokenizer: OpenTokenizer
}
type Answer = { text: string; isError: boolean; chars: number }

export async function runBatchShard(
  deps: ShardDeps,
  assignment: Assignment,
  given: { input: string; key: string },
  signal: AbortSignal,
): Promise<Outcome> {
  const { blobs } = deps
  const span = assignment.input as ShardInput
  const lines = await linesOf(blobs, given.input, span, signal)
  const answer = answerer(deps, assignment, signal)
  const errors: string[] = []
  const tally = { bytesIn: span.end - span.start, rowsDone: 0, rowsFailed: 0 }

  async function* outputs(): AsyncGenerator<Uint8Array> {
    const running: Promise<Answer>[] = []
    let chars = 0
    for (let at = 0; at < lines.length || running.length > 0; ) {
      signal.throwIfAborted()
      const room = () => running.length === 0 || chars < WINDOW_CHARS
      while (at < lines.length && running.length < WINDOW_REQUESTS && room()) {
        const next = answer.line(lines[at]!, span.row + at)
        next.catch(() => {})
        running.push(next)
        chars += lines[at]!.length
        at++
      }
      const done = await running.shift()!
      chars -= done.chars
      tally.rowsDone++
      if (!done.isError) yield Buffer.from(done.text)
      else {
        tally.rowsFailed++
        errors.push(done.text)
      }
    }
  }

  const { size } = await blobs.put(given.key, outputs())
  const errorsKey = errors.length > 0 ? `${given.key}-errors` : null
  const failed = errorsKey && (await blobs.put(errorsKey, Buffer.from(errors.join(''))))
  const bytesOut = size + (failed ? failed.size : 0)
  const part = { key: given.key, errorsKey }
  return { kind: 'batch_shard', part, ...tally, ...answer.used, bytesOut }
}

function answerer(
  { model, servable, tokenizer, clock }: ShardDeps,
  { tenantId, runId }: Assignment,
  signal: AbortSignal,
) {
  const limits = batchLimitsOf(servable)
  const batcher = createBatcher({ model, signature: model.signature, clock, limits })
  const used = { rows: 0, tokens: 0, computeUs: 0 }
  const run: Parameters<typeof embed>[1]['run'] = (inputs, outputs) =>
    batcher.submit({ tenant: tenantId, inputs, outputs, signal })

  async function replyTo(body: Record<string, unknown>): Promise<string> {
    const request = embeddingsRequest(body)
    const done = await embed(servable, { tokenizer, run }, request)
    used.rows += done.vectors.length
    used.tokens += done.tokens
    used.computeUs += done.computeUs
    const reply = await embeddingsReply({ ...request, ...done })
    return Buffer.from(reply.buffer, reply.byteOffset, reply.length).toString()
  }

  return {
    used,
    async line(text: string, row: number): Promise<Answer> {
      // The plan has read every line: it is an object with these members.
      const { custom_id, body } = JSON.parse(text) as {
        custom_id: string
        body: Record<string, unknown>
      }
      const requestId = `${runId}_${row}`
      const around = (status: number, reply: string) =>
        `{"id":"batch_req_${requestId}","custom_id":${JSON.stringify(custom_id)},"response":{"status_code":${status},"request_id":"${requestId}","body":${reply}},"error":null}\n`
      const chars = text.length
      try {
        return { text: around(200, await replyTo(body)), isError: false, chars }
      } catch (error) {
        const isPassing = !(error instanceof AppError) || PASSING.includes(error.code)
        if (isPassing) throw error
        const document = problem(error, requestId)
        const reply = JSON.stringify({ error: openaiError(document) })
        return { text: around(document.status, reply), isError: true, chars }
      }
    },
  }
}

/** All of a span, which the plan has kept small. */
async function linesOf(
  blobs: Pick<Blobs, 'get'>,
  key: string,
  { start, end, rows }: ShardInput,
  signal: AbortSignal,
): Promise<string[]> {
  const input = await opened(blobs, key, { start, end })
  const lines: string[] = []
  const add = (line: unknown) => {
    if (typeof line === 'string') lines.push(line)
  }
  await withChunks(input, signal, read => eachLine(start === 0, read, add))
  if (lines.length === rows) return lines
  throw new AppError('internal', {
    internal: `batch: the plan counted ${rows} requests, the shard found ${lines.length}`,
  })
}
