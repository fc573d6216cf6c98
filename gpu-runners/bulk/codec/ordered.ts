/** Texts that come in any order, written in the order of their rows. */

/** Large enough that writes are few, small enough that results flow while the shard runs. */
const WRITE_CHARS = 131_072

export type OrderedOutput = {
  put(row: number, text: string): void
  /** Of the rows read so far, how many are not on their way out. */
  waiting(rows: number): number
  /** Waits until no more than so many bytes are left to write. */
  room(bytesMax: number): Promise<void>
  end(): Promise<void>
}

export function orderedOutput(
  rows: number,
  write: (bytes: Uint8Array) => Promise<void>,
): OrderedOutput {
  const texts = new Array<string | undefined>(rows)
  let next = 0
  let text = ''
  let unwritten = 0
  let writing = Promise.resolve()

  function flush(): void {
    if (text === '') return
    const bytes = encoder.encode(text)
    // Once they are handed on they have no length any more.
    const { length } = bytes
    text = ''
    unwritten += length
    writing = writing
      .then(() => write(bytes))
      .then(() => {
        unwritten -= length
      })
    // Heard at `room` or `end`.
    writing.catch(() => {})
  }

  return {
    put(row, own) {
      texts[row] = own
      for (let ready = texts[next]; ready !== undefined; ready = texts[next]) {
        text += ready
        texts[next++] = undefined
        if (text.length >= WRITE_CHARS) flush()
      }
    },
    waiting: read => read - next,
    async room(bytesMax) {
      if (unwritten > bytesMax) await writing
    },
    async end() {
      flush()
      await writing
    },
  }
}

const encoder = new TextEncoder()
