/**
 * A shard from bytes to bytes: lines in, batches out to the engine, results back, lines out in the order
 * in which the rows came. What waits is bounded in rows and in bytes, whatever the model makes of a row.
 */
import { AppError } from '#core/error.ts'
import { byteSize, type Tensor } from '#core/inference/tensor.ts'
import type { Signature } from '#schemas/signature.ts'
import { type Batch, batches, type OpenBatch } from './batch.ts'
import { lineCutter, type Piece, ROW_BYTES_MAX } from './lines.ts'
import { orderedOutput } from './ordered.ts'
import { rowError, rowReader } from './row.ts'
import { type Block, type Form, type RowError, rowWriter } from './text.ts'

export type ShardJob = {
  signature: Signature
  form: Form
  /** Index of the first row in the whole input, and how many rows the plan counted here. */
  row: number
  rows: number
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

/** A batch of small rows; more gains nothing on CPU and delays what a cancel waits for. */
const BATCH_ROWS_MAX = 256
/** Before anything is known of the size of a model's outputs. */
const BATCH_ROWS_FIRST = 32
const BATCH_BYTES_MAX = 4 * 2 ** 20
/** Rows and bytes that are read or computed and not yet written: 4 batches. */
const WAITING_ROWS_MAX = 4 * BATCH_ROWS_MAX
const WAITING_BYTES_MAX = 4 * BATCH_BYTES_MAX
/** One runs while the next waits at the engine's door. */
const RUNNING_MAX = 2

/** Throws what is no row's fault: the span is not what was planned, or reading, running, writing failed. */
export async function codeShard(job: ShardJob, io: ShardIo): Promise<Tally> {
  const read = rowReader(job.signature)
  const engine = engineSide(job, io)
  let rows = 0
  await eachLine(job, io, line => {
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
  const ids = new Map<number, string>()
  const running = new Set<Promise<void>>()
  let outputBytesOfRow: number | null = null
  let failed = 0

  function rowsMax(batch: OpenBatch): number {
    if (outputBytesOfRow === null) return BATCH_ROWS_FIRST
    const rowBytes = Math.max(batch.bytes / batch.rows.length, outputBytesOfRow, 1)
    return Math.min(BATCH_ROWS_MAX, Math.max(1, Math.floor(BATCH_BYTES_MAX / rowBytes)))
  }

  function waitingMax(): number {
    if (outputBytesOfRow === null) return BATCH_ROWS_FIRST
    const fitting = Math.floor(WAITING_BYTES_MAX / Math.max(1, outputBytesOfRow))
    return Math.min(WAITING_ROWS_MAX, Math.max(1, fitting))
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

/** Every line that is a row; blank lines are none. */
async function eachLine(
  { fileStart }: ShardJob,
  io: ShardIo,
  add: (line: string | RowError) => Promise<void> | undefined | void,
): Promise<void> {
  const cutter = lineCutter()
  let first = fileStart
  let next = io.read()
  for (let chunk = await next; ; chunk = await next) {
    if (chunk) {
      next = io.read()
      next.catch(() => {})
    }
    for (const piece of chunk ? cutter.feed(chunk) : cutter.end()) {
      for (const line of linesOf(piece, first)) {
        const wait = add(line)
        if (wait) await wait
      }
      first = false
    }
    if (!chunk) return
  }
}

function* linesOf(piece: Piece, first: boolean): Generator<string | RowError> {
  if ('overlong' in piece) {
    yield invalidRow(`The line is longer than ${ROW_BYTES_MAX} bytes; a row must fit that.`)
    return
  }
  let text = decoded(piece.lines)
  if (text === null) {
    yield* oneByOne(piece.lines, first)
    return
  }
  if (first && text.startsWith(BOM)) text = text.slice(1)
  for (let at = 0; at < text.length; ) {
    const newline = text.indexOf('\n', at)
    const end = newline < 0 ? text.length : newline
    const line = text.slice(at, end)
    if (!BLANK.test(line)) yield line
    at = end + 1
  }
}

/** Somewhere the bytes are not UTF-8: only the lines where they are not may fail. */
function* oneByOne(lines: Uint8Array, first: boolean): Generator<string | RowError> {
  for (let at = 0; at < lines.length; ) {
    const newline = lines.indexOf(10, at)
    const end = newline < 0 ? lines.length : newline
    let text = decoded(lines.subarray(at, end))
    if (text === null) yield invalidRow('The line is not valid UTF-8.')
    else {
      if (first && at === 0 && text.startsWith(BOM)) text = text.slice(1)
      if (!BLANK.test(text)) yield text
    }
    at = end + 1
  }
}

function decoded(bytes: Uint8Array): string | null {
  try {
    return decoder.decode(bytes)
  } catch {
    return null
  }
}

function invalidRow(detail: string): RowError {
  return { code: 'invalid_input', detail }
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

const BOM = '\ufeff'
const BLANK = /^[ \t\r]*$/
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
