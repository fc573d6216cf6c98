/**
 * A shard from bytes to bytes: lines in, batches out to the engine, results back, lines out in the order
 * in which the rows came. What waits is bounded in rows and in bytes, whatever the model makes of a row.
 */
import { AppError } from '#core/error.ts'
import { byteSize, type Tensor } from '#core/inference/tensor.ts'
import type { Signature } from '#schemas/signature.ts'
import { type Batch, batches, type OpenBatch } from './batch.ts'
import { eachLine } from './each-line.ts'
import { orderedOutput } from './ordered.ts'
import { rowError, rowReader } from './row.ts'
import { type Block, type Form, type RowError, rowWriter } from './text.ts'

export type ShardJob = {
  signature: Signature
  form: Form
  /** Index of the first row in the whole input, and how many rows the plan counted here. */
  row: number
  rows: number
  /** The most rows of a batch that the model gains from; 256 where nobody knows. */
  batchRows?: number
  /** The bytes start where the file starts, where a byte order mark may stand. */
  fileStart: boolean
}
export type Ran = { blocks: Block[]; failures: { row: number; error: RowError }[] }
export type ShardIo = {
  /** Bytes of the span in order; null at its end. */
  read(): Promise<Uint8Array | null>
  run(batch: Batch): Promise<Ran>
  write(bytes: Uint8Array): Promise<void>
}
export type Tally = { rows: number; failed: number }

/** A batch of small rows, where it was not measured what the model gains from. */
const BATCH_ROWS_USUAL = 256
/** Before anything is known of the size of a model's outputs. */
const BATCH_ROWS_FIRST = 32
const BATCH_BYTES_MAX = 4 * 2 ** 20
/** Rows and bytes that are read or computed and not yet written: 4 batches. */
const WAITING_BATCHES = 4
const WAITING_BYTES_MAX = WAITING_BATCHES * BATCH_BYTES_MAX
/** One runs while the next waits at the engine's door. */
const RUNNING_MAX = 2

/** Throws what is no row's fault: the span is not what was planned, or reading, running, writing failed. */
export async function codeShard(job: ShardJob, io: ShardIo): Promise<Tally> {
  const read = rowReader(job.signature)
  const engine = engineSide(job, io)
  let rows = 0
  await eachLine(job.fileStart, io.read, line => {
    const row = rows++
    if (row >= job.rows) throw differs(job, rows)
    if (typeof line !== 'string') return engine.refuse(row, null, line)
    const given = read(line)
    if ('error' in given) return engine.refuse(row, given.id, given.error)
    return engine.add(row, given.id, given.values)
  })
  if (rows !== job.rows) throw differs(job, rows)
  return { rows, failed: await engine.end() }
}

function engineSide(job: ShardJob, io: ShardIo) {
  const writer = rowWriter(job.signature, job.form)
  const waiting = batches(job.signature)
  const output = orderedOutput(job.rows, io.write)
  const batchRowsMax = job.batchRows ?? BATCH_ROWS_USUAL
  const ids = new Map<number, string>()
  const running = new Set<Promise<void>>()
  let outputBytesOfRow: number | null = null
  let failed = 0

  function rowsMax(batch: OpenBatch): number {
    if (outputBytesOfRow === null) return Math.min(BATCH_ROWS_FIRST, batchRowsMax)
    const rowBytes = Math.max(batch.bytes / batch.rows.length, outputBytesOfRow, 1)
    return Math.min(batchRowsMax, Math.max(1, Math.floor(BATCH_BYTES_MAX / rowBytes)))
  }

  function waitingMax(): number {
    if (outputBytesOfRow === null) return BATCH_ROWS_FIRST
    const fitting = Math.floor(WAITING_BYTES_MAX / Math.max(1, outputBytesOfRow))
    return Math.min(WAITING_BATCHES * batchRowsMax, Math.max(1, fitting))
  }

  async function submit(batch: OpenBatch): Promise<void> {
    waiting.take(batch)
    while (running.size >= RUNNING_MAX) await Promise.race(running)
    await output.room(WAITING_BYTES_MAX)
    const run: Promise<void> = io.run(batch.close()).then(ran => {
      settle(batch, ran)
      running.delete(run)
    })
    // Heard at the next race; until then it must not count as unhandled.
    run.catch(() => {})
    running.add(run)
  }

  function settle(batch: OpenBatch, { blocks, failures }: Ran): void {
    for (const block of blocks) {
      writer.values(block).forEach((text, i) => {
        const row = batch.rows[block.from + i]!
        output.put(row, writer.outputs(job.row + row, takeId(row), text))
      })
      outputBytesOfRow = Math.max(bytesOfRow(block), (outputBytesOfRow ?? 0) / 2)
    }
    for (const { row, error } of failures) refuse(batch.rows[row]!, takeId(batch.rows[row]!), error)
  }

  function refuse(row: number, id: string | null, error: RowError): void {
    failed++
    output.put(row, writer.error(job.row + row, id, error))
  }

  function takeId(row: number): string | null {
    const id = ids.get(row) ?? null
    ids.delete(row)
    return id
  }

  async function drain(): Promise<void> {
    for (const batch of waiting.open()) await submit(batch)
    await Promise.all(running)
  }

  return {
    refuse,
    /** A promise when the next row must wait. */
    add(row: number, id: string | null, values: unknown[]): Promise<void> | undefined {
      let batch: OpenBatch
      try {
        batch = waiting.add(values, row)
      } catch (error) {
        refuse(row, id, rowError(error))
        return
      }
      if (id !== null) ids.set(row, id)
      if (batch.rows.length >= rowsMax(batch)) return submit(batch)
      if (output.waiting(row) >= waitingMax() || waiting.bytes > BATCH_BYTES_MAX) return drain()
    },
    /** The number of rows that failed. */
    async end(): Promise<number> {
      await drain()
      await output.end()
      return failed
    },
  }
}

function bytesOfRow({ from, to, outputs }: Block): number {
  const bytes = outputs.reduce((sum: number, output: Tensor) => sum + byteSize(output.data), 0)
  return bytes / (to - from)
}

function differs(job: ShardJob, rows: number): AppError {
  return new AppError('internal', {
    internal: `bulk: the plan counted ${job.rows} rows from row ${job.row}, the shard found ${rows}`,
  })
}
