/** Planning JSONL: one pass over the input finds where its shards begin. */
import type { Blobs } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { ShardInput } from '#core/jobs/jobs.ts'
import { lineScanner } from './codec/lines.ts'
import { opened } from './parts.ts'

export type Plan = { rows: number; shards: ShardInput[] }
export type ShardLimits = { rows: number; bytes: number; shards: number }

/**
 * A shard is what a killed runner loses and what is billed at once. 5,000 rows of a small model are
 * some tens of milliseconds, of a large one minutes; 8 MiB keep rows that are large themselves apart.
 * Shards are rows of the database: past 4,096 of them neighbours are joined and the limits doubled.
 */
export const SHARD_LIMITS: ShardLimits = { rows: 5_000, bytes: 8 * 2 ** 20, shards: 4_096 }
/** Where it is known what a row takes, a shard is so much work: its lease and its receipt cost 20 ms. */
const SHARD_US = 1_000_000
/** Reading a small row and writing its result. */
const CODING_US = 6
const SHARD_ROWS_MIN = 100
const SHARD_ROWS_MAX = 25_000

/** `rowUs`: a row's part of a batch. */
export function shardLimits(limits: ShardLimits, rowUs: number | undefined): ShardLimits {
  if (rowUs === undefined) return limits
  const rows = Math.round(SHARD_US / (rowUs + CODING_US))
  return { ...limits, rows: Math.min(SHARD_ROWS_MAX, Math.max(SHARD_ROWS_MIN, rows)) }
}

/** Throws `invalid_body` when the file is plainly something else than JSON by the line. */
export async function planJsonl(
  blobs: Pick<Blobs, 'get'>,
  key: string,
  signal: AbortSignal,
  limits = SHARD_LIMITS,
): Promise<Plan> {
  const input = await opened(blobs, key)
  const cutter = spanCutter(limits)
  const scanner = lineScanner(cutter.line)
  let head = new Uint8Array(0)
  for await (const chunk of input) {
    signal.throwIfAborted()
    if (head.length < HEAD_BYTES) {
      head = Buffer.concat([head, chunk.subarray(0, HEAD_BYTES)])
      refuseOthers(head)
    }
    scanner.feed(chunk)
  }
  scanner.end()
  return cutter.end()
}

function spanCutter(limits: ShardLimits) {
  let { rows: rowsMax, bytes: bytesMax } = limits
  let shards: ShardInput[] = []
  let rows = 0
  let open: ShardInput = { start: 0, end: 0, row: 0, rows: 0 }

  function close(): void {
    if (open.rows > 0) shards.push(open)
    // Blank lines alone are nobody's; the next shard starts behind them.
    open = { start: open.end, end: open.end, row: rows, rows: 0 }
    if (shards.length < limits.shards) return
    shards = joinPairs(shards)
    rowsMax *= 2
    bytesMax *= 2
  }

  return {
    line(end: number, blank: boolean): void {
      if (open.rows > 0 && (open.rows >= rowsMax || end - open.start > bytesMax)) close()
      open.end = end
      if (blank) return
      open.rows += 1
      rows += 1
    },
    end(): Plan {
      close()
      return { rows, shards }
    },
  }
}

/** Half as many spans: each with its neighbour. */
export function joinPairs(shards: ShardInput[]): ShardInput[] {
  const joined: ShardInput[] = []
  for (let i = 0; i < shards.length; i += 2) {
    const [first, second] = [shards[i]!, shards[i + 1]]
    joined.push(second ? { ...first, end: second.end, rows: first.rows + second.rows } : first)
  }
  return joined
}

const HEAD_BYTES = 4
const OTHERS: [number[], string][] = [
  [[0x50, 0x41, 0x52, 0x31], 'a Parquet file; create the job with input.format "parquet"'],
  [[0x1f, 0x8b], 'compressed with gzip; upload it uncompressed'],
  [[0x28, 0xb5, 0x2f, 0xfd], 'compressed with Zstandard; upload it uncompressed'],
  [[0xff, 0xfe], 'UTF-16; upload it as UTF-8'],
  [[0xfe, 0xff], 'UTF-16; upload it as UTF-8'],
]

function refuseOthers(head: Uint8Array): void {
  for (const [magic, what] of OTHERS) {
    if (magic.every((byte, i) => head[i] === byte)) {
      throw new AppError('invalid_body', { public: `The input is not JSONL: it is ${what}.` })
    }
  }
}
