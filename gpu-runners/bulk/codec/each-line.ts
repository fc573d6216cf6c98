/** The rows among the lines of a shard, read ahead by one chunk while the last one is worked on. */
import { lineCutter, type Piece, ROW_BYTES_MAX } from './lines.ts'
import type { RowError } from './text.ts'

export type Read = (spent?: Uint8Array) => Promise<Uint8Array | null>

/** Every line that is a row, or why it is none that can be read; blank lines are none. */
export async function eachLine(
  fileStart: boolean,
  read: Read,
  add: (line: string | RowError) => Promise<void> | undefined | void,
): Promise<void> {
  await eachPiece(read, async (piece, isFirst) => {
    for (const line of linesOf(piece, fileStart && isFirst)) {
      const wait = add(line)
      if (wait) await wait
    }
  })
}

/** Whole lines, many at a time. A chunk that is done with goes back to the reader, which may fill it again. */
export async function eachPiece(
  read: Read,
  take: (piece: Piece, isFirst: boolean) => Promise<void>,
): Promise<void> {
  const cutter = lineCutter()
  let isFirst = true
  let spent: Uint8Array | undefined
  let next = read()
  for (let chunk = await next; ; chunk = await next) {
    if (chunk) {
      next = read(spent)
      next.catch(() => {})
    }
    for (const piece of chunk ? cutter.feed(chunk) : cutter.end()) {
      await take(piece, isFirst)
      isFirst = false
    }
    if (!chunk) return
    spent = chunk
  }
}

/** The lines of a piece as text. `first`: a byte order mark may stand before them. */
export function* linesOf(piece: Piece, first: boolean): Generator<string | RowError> {
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

const BOM = '\ufeff'
const BLANK = /^[ \t\r]*$/
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
