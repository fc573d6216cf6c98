/**
 * A hop between places: one stream, many requests, frames of
 * `length u32 | type u8 | id u32 | payload` (little-endian), written together once per turn of the event
 * loop, so that under load one system call carries many requests.
 */
import type { Duplex } from 'node:stream'

/** Says only that the sender is there. It is taken here, and reaches nobody. */
const BEAT = 0
/** The first frame that a caller sends; the other types are theirs who speak. */
export const HELLO = 1

const HEADER_BYTES = 9
/** A frame holds one body and its header; bodies are bounded at the edge. */
export const FRAME_BYTES_MAX = 256 * 1024 ** 2
/** Below this a payload is copied beside its neighbours: one write is cheaper than many. */
const COPIED_BYTES_MAX = 16_384
const PAGE_BYTES = 65_536

export type Channel = {
  /** Queues a frame of the concatenated parts; it leaves with the others of this turn. */
  send(type: number, id: number, parts: readonly Uint8Array[]): void
  /** Writes what is queued now. */
  flush(): void
  /** Writes what is queued, then ends the stream. */
  close(): void
}

/** For a peer that may vanish without a word: both sides of a channel have it, or neither. */
export type Beat = {
  /** A side that has sent nothing for so long says that it is there. */
  everyMs: number
  /** Beats of silence after which the other side is taken to be gone. */
  silentMax: number
}

/**
 * Frames over a stream. `frame` gets views that stay valid; a broken frame, or one on which it throws,
 * ends the stream, and so does the silence of a peer that has agreed to a beat.
 */
export function openChannel(
  stream: Duplex,
  on: { frame(type: number, id: number, payload: Buffer): void; end(error?: Error): void },
  beat?: Beat,
): Channel {
  let page = Buffer.allocUnsafe(PAGE_BYTES)
  let at = 0
  let written = 0
  let scheduled = false
  /** What has come of a frame that is not whole, and the bytes at which it is worth another look. */
  let pending: Buffer[] = []
  let pendingBytes = 0
  let wantedBytes = 4
  let ended = false
  let silentBeats = 0
  let hasSent = false
  const beating = beat && setInterval(onBeat, beat.everyMs, beat).unref()

  /** Counts its own turns, not the time: after a pause of this process what came meanwhile is read first. */
  function onBeat({ everyMs, silentMax }: Beat): void {
    if (++silentBeats > silentMax) {
      end(new Error(`the peer was silent for ${everyMs * silentMax} ms`))
      return
    }
    if (!hasSent) send(BEAT, 0, [])
    hasSent = false
  }

  function end(error?: Error): void {
    if (ended) return
    ended = true
    clearInterval(beating)
    pending = []
    stream.destroy()
    on.end(error)
  }

  function handOver(): void {
    if (at > written) stream.write(page.subarray(written, at))
    written = at
  }

  function room(bytes: number): void {
    if (at + bytes <= page.length) return
    handOver()
    // The old page may still wait in the socket: it is left to it.
    page = Buffer.allocUnsafe(Math.max(PAGE_BYTES, bytes))
    at = 0
    written = 0
  }

  function flush(): void {
    scheduled = false
    if (ended) return
    stream.cork()
    handOver()
    stream.uncork()
  }

  function send(type: number, id: number, parts: readonly Uint8Array[]): void {
    if (ended) return
    hasSent = true
    let length = 5
    for (const part of parts) length += part.length
    room(HEADER_BYTES)
    page.writeUInt32LE(length, at)
    page[at + 4] = type
    page.writeUInt32LE(id, at + 5)
    at += HEADER_BYTES
    for (const part of parts) {
      if (part.length > COPIED_BYTES_MAX) {
        handOver()
        stream.write(part)
      } else {
        room(part.length)
        page.set(part, at)
        at += part.length
      }
    }
    if (!scheduled) {
      scheduled = true
      setImmediate(flush)
    }
  }

  function read(chunk: Buffer): void {
    silentBeats = 0
    pending.push(chunk)
    pendingBytes += chunk.length
    // A large frame comes in many chunks: joined with each of them it would be copied thousands of times.
    if (pendingBytes < wantedBytes) return
    let data = pending.length > 1 ? Buffer.concat(pending, pendingBytes) : chunk
    wantedBytes = 4
    while (data.length >= 4) {
      const length = data.readUInt32LE(0)
      if (length < 5 || length > FRAME_BYTES_MAX) {
        end(new Error(`frame of ${length} bytes`))
        return
      }
      wantedBytes = 4 + length
      if (data.length < wantedBytes) break
      const payload = data.subarray(HEADER_BYTES, wantedBytes)
      try {
        if (data[4] !== BEAT) on.frame(data[4]!, data.readUInt32LE(5), payload)
      } catch (error) {
        // The peer speaks another version, or nonsense: this channel ends, not the process.
        end(error as Error)
      }
      if (ended) return
      data = data.subarray(wantedBytes)
      wantedBytes = 4
    }
    pending = data.length > 0 ? [data] : []
    pendingBytes = data.length
  }

  stream.on('data', read)
  stream.on('error', end)
  stream.on('close', () => end())
  // One that broke before it came here says nothing more.
  if (stream.destroyed) setImmediate(end)
  return {
    send,
    flush,
    close() {
      flush()
      stream.end()
    },
  }
}

export const jsonPart = (value: unknown) => Buffer.from(JSON.stringify(value))
export const fromJsonPart = <T>(payload: Buffer) => JSON.parse(payload.toString()) as T
