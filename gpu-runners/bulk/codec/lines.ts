/**
 * JSONL cut at its line ends, however the bytes arrive. A line past the bound is passed over without
 * being held, so that a file without line ends costs no more memory than any other.
 */

/** Longer rows are refused one by one: far above any real row, and small enough to hold a few. */
export const ROW_BYTES_MAX = 16 * 2 ** 20

const NEWLINE = 10
const BOM = [0xef, 0xbb, 0xbf]

/** Whole lines with their ends, or one line that was too long. */
export type Piece = { lines: Uint8Array } | { overlong: true }

export type LineCutter = {
  /** Pieces are views of the chunk where they can be: it must stay as it is until they are done with. */
  feed(chunk: Uint8Array): Piece[]
  /** What is left: the last line may lack its end. */
  end(): Piece[]
}

export function lineCutter(): LineCutter {
  let held: Uint8Array[] = []
  let heldBytes = 0
  let overlong = false

  function hold(bytes: Uint8Array): void {
    heldBytes += bytes.length
    if (heldBytes > ROW_BYTES_MAX) {
      overlong = true
      held = []
    } else if (bytes.length > 0) held.push(new Uint8Array(bytes))
  }

  function release(tail: Uint8Array): Uint8Array {
    const line = Buffer.concat([...held, tail])
    held = []
    heldBytes = 0
    return line
  }

  return {
    feed(chunk) {
      const first = chunk.indexOf(NEWLINE)
      if (first < 0) {
        if (overlong) return []
        hold(chunk)
        return []
      }
      const pieces: Piece[] = []
      let from = 0
      if (overlong || heldBytes + first > ROW_BYTES_MAX) {
        pieces.push({ overlong: true })
        overlong = false
        held = []
        heldBytes = 0
        from = first + 1
      } else if (held.length > 0) {
        pieces.push({ lines: release(chunk.subarray(0, first + 1)) })
        from = first + 1
      }
      const to = chunk.lastIndexOf(NEWLINE) + 1
      if (to > from) pieces.push({ lines: chunk.subarray(from, to) })
      if (to < chunk.length) hold(chunk.subarray(to))
      return pieces
    },
    end() {
      if (overlong) return [{ overlong: true }]
      return held.length > 0 ? [{ lines: release(new Uint8Array(0)) }] : []
    },
  }
}

/**
 * Where lines end, without looking at what they say: `onLine` gets the offset behind each line and
 * whether it holds nothing but spaces. A byte order mark at the start of the file counts as space.
 */
export function lineScanner(onLine: (end: number, blank: boolean) => void) {
  let offset = 0
  let lineStart = 0
  let blank = true
  let marks = 0

  function look(chunk: Uint8Array, from: number, to: number): void {
    for (let i = from; blank && i < to; i++) {
      const byte = chunk[i]!
      if (byte === 32 || byte === 9 || byte === 13) continue
      if (marks < 3 && offset + i === marks && byte === BOM[marks]) marks++
      else blank = false
    }
  }

  function close(end: number): void {
    // A mark that is cut short is not a mark.
    if (marks === 1 || marks === 2) blank = false
    marks = 3
    onLine(end, blank)
    lineStart = end
    blank = true
  }

  return {
    feed(chunk: Uint8Array): void {
      let at = 0
      for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, at)) {
        look(chunk, at, end)
        close(offset + end + 1)
        at = end + 1
      }
      look(chunk, at, chunk.length)
      offset += chunk.length
    },
    end(): void {
      if (offset > lineStart) close(offset)
    },
  }
}
