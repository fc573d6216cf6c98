/**
 * A shard from bytes to bytes: lines in, batches out to the engine, results back, lines out in the order
 * in which the rows came. What waits is bounded in rows and in bytes, whatever the model makes of a row.
 */
import { AppError } from '#core/error.ts'
import { byteSize, type Tensor } from '#core/inference/tensor.ts'
import type { Signature } from '#schemas/signature.ts'
import { type AddPlain, batches } from './batch.ts'
import { eachPiece, linesOf, type Read } from './each-line.ts'
import type { Piece } from './lines.ts'
import type { Batch, OpenBatch } from './open-batch.ts'
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
export type Ran = {
  blocks: Block[]
  failures: { row: number; error: RowError }[]
  /** Memory of the batch, for the next one. */
  spent?: ArrayBuffer[]
}
export type ShardIo = {
  /** Bytes of the span in order; null at its end. Takes back what was read before and is done with. */
  read: Read
  run(batch: Batch): Promise<Ran>
  write(bytes: Uint8Array): Promise<void>
  /** Once: what is left takes about so long that it is time to see what comes next. */
  nearlyDone(): void
}
export type Tally = { rows: number; failed: number }

/** A batch of small rows, where it was not measured what the model gains from. */
const BATCH_ROWS_USUAL = 256
/** Before anything is known of the size of a model's outputs. */
const BATCH_ROWS_FIRST = 32
const BATCH_BYTES_MAX = 4 * 2 ** 20
/** Rows and bytes that are read or computed and not yet written: more than run and are filled at a time. */
const WAITING_BATCHES = 6
const WAITING_BYTES_MAX = 4 * BATCH_BYTES_MAX
/** One runs, one waits at the engine's door, and one is on its way. */
const RUNNING_MAX = 3
/** What the next step takes until its first batch is at the engine: its lease, its file, its first rows. */
const AHEAD_MS = 100
/** Lines that are not plain one after another, until the rest of the piece is read as text at once. */
const ODD_MAX = 8
const NEWLINE = 10

/** Throws what is no row's fault: the span is not what was planned, or reading, running, writing failed. */
export async function codeShard(job: ShardJob, io: ShardIo): Promise<Tally> {
  const engine = engineSide(job, io)
  const rows = rowSide(job, engine)
  await eachPiece(io.read, rows.take)
  if (rows.count() !== job.rows) throw differs(job, rows.count())
  return { rows: job.rows, failed: await engine.end() }
}

function rowSide(job: ShardJob, engine: ReturnType<typeof engineSide>) {
  const read = rowReader(job.signature)
  let rows = 0

  function counted(): number {
    const row = rows++
    if (row >= job.rows) throw differs(job, rows)
    return row
  }

  async function text(piece: Piece, first: boolean): Promise<void> {
    for (const line of linesOf(piece, first)) {
      const row = counted()
      const given = typeof line === 'string' ? read(line) : { id: null, error: line }
      if ('error' in given) engine.refuse(row, given.id, given.error)
      else {
        const wait = engine.add(row, given.id, given.values)
        if (wait) await wait
      }
    }
  }

  /** Line by line while they are plain. Returns where the rest begins. */
  async function plain(lines: Buffer, first: boolean): Promise<number> {
    const end = lines.lastIndexOf(NEWLINE) + 1
    let at = 0
    for (let odd = 0; at < end && odd < ODD_MAX; ) {
      const added = engine.addPlain!(lines, at, rows)
      if (added) {
        counted()
        odd = 0
        at = added.next
        if (added.wait) await added.wait
      } else {
        const to = lines.indexOf(NEWLINE, at) + 1
        await text({ lines: lines.subarray(at, to) }, first && at === 0)
        at = to
        odd++
      }
    }
    return at
  }

  return {
    count: () => rows,
    async take(piece: Piece, isFirst: boolean): Promise<void> {
      const first = isFirst && job.fileStart
      if (!engine.addPlain || 'overlong' in piece) return text(piece, first)
      const { buffer, byteOffset, length } = piece.lines
      const lines = Buffer.from(buffer, byteOffset, length)
      const at = await plain(lines, first)
      if (at < length) await text({ lines: lines.subarray(at) }, first && at === 0)
    },
  }
}

function engineSide(job: ShardJob, io: ShardIo) {
  const writer = rowWriter(job.signature, job.form)
  const waiting = batches(job.signature)
  const output = orderedOutput(job.rows, io.write)
  const batchRowsMax = job.batchRows ?? BATCH_ROWS_USUAL
  const ids = new Map<number, string>()
  const running = new Set<Promise<void>>()
  const beganMs = performance.now()
  let outputBytesOfRow: number | null = null
  let failed = 0
  let rowsSettled = 0
  let isNearlyDone = false

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
      if (ran.spent) waiting.giveBack(ran.spent)
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
    rowsSettled += batch.rows.length
    const leftMs = ((performance.now() - beganMs) * (job.rows - rowsSettled)) / rowsSettled
    if (isNearlyDone || leftMs > AHEAD_MS) return
    isNearlyDone = true
    io.nearlyDone()
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

  function added(batch: OpenBatch, row: number, id: string | null): Promise<void> | undefined {
    if (id !== null) ids.set(row, id)
    if (batch.rows.length >= rowsMax(batch)) return submit(batch)
    if (output.waiting(row) >= waitingMax() || waiting.bytes > BATCH_BYTES_MAX) return drain()
  }

  /** Where the next line starts, and a promise when it must wait; null: the line is not plain. */
  function plainly(addPlain: AddPlain) {
    return (lines: Buffer, at: number, row: number) => {
      const done = addPlain(lines, at, row)
      return done && { next: done.next, wait: added(done.batch, row, done.id) }
    }
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
      return added(batch, row, id)
    },
    addPlain: waiting.addPlain && plainly(waiting.addPlain),
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
