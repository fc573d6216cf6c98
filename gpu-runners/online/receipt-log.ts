/**
 * The runner's own log of receipts. A line is in the file before its reply leaves (kill -9 loses none)
 * and on the disk within 50 ms (a power failure loses at most those): on a disk that falls behind, replies
 * wait for their receipts. The folder is the queue: segments
 * are closed every quarter of a second, shipped to the ledger in order, and deleted when it has them,
 * so what a dead runner left is shipped by the next one with the same code.
 */
import { closeSync, fsync, mkdirSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock, Log } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { undo, wholeLines, writeWhole } from './segment.ts'
import { Syncs } from './syncs.ts'

/** With the time that a sync itself takes, within the 50 ms that are promised. */
const SYNC_MS = 10
const SEGMENT_MS = 250
const SHIP_RETRY_FIRST_MS = 500
const SHIP_RETRY_MAX_MS = 2_000
/** Segments that the ledger answers with a fault, tried in one go: then it is not the segments. */
const FAULTS_MAX = 3
/** Of one call to the functions, through a gateway that has its limit. */
const SEGMENT_BYTES_MAX = 2 * 1024 ** 2

/** A context under the number by which this process's receipts name it. */
export type NumberedContext = { number: number; line: string }

export type ReceiptLog = {
  /** Writes the receipts of this turn. Throws when the disk refuses them: no reply has left yet. */
  append(receipts: readonly { context: NumberedContext; line: string }[]): void
  /** Null: what was appended may be told at once. Otherwise it resolves when all of it is on the disk. */
  overdue(): Promise<void> | null
  /** Receipts that this process has written. */
  count(): number
  /** Ships what there is; resolves when the ledger has it or the wait is over. */
  close(waitMs: number): Promise<void>
}

/** A segment of this process: how many receipts it has, and whether the ledger has them. */
type Own = { receipts: number; shipped: boolean }
type Segment = {
  name: string
  fd: number
  bytes: number
  receipts: number
  contexts: Set<number>
  /** When the first receipt was written that no sync has begun for. */
  dirtySinceMs: number | null
  /** Syncs under way; the file is closed after the last of them. */
  syncs: number
  ended: boolean
}

export function openReceiptLog(
  deps: { clock: Clock; log: Log },
  o: {
    folder: string
    /** Sends a segment's lines, as a JSON array, to the ledger; resolves when they are committed. */
    ship(lines: string): Promise<void>
    /** Receipts of this process that the ledger has now, from the first. */
    onShipped(count: number): void
  },
): ReceiptLog {
  mkdirSync(o.folder, { recursive: true, mode: 0o700 })
  const folderFd = openSync(o.folder, 'r')
  /** The segments of this process, in the order of their receipts; others were left by a dead one. */
  const own = new Map<string, Own>()
  let segment: Segment | null = null
  const syncs = new Syncs()
  let appended = 0
  let shipped = 0
  let serial = 0
  let stopped = false
  let syncTimer: NodeJS.Timeout | null = null

  function current(): Segment {
    if (segment) return segment
    const name = `${String(deps.clock.now()).padStart(15, '0')}-${process.pid}-${serial++}.log`
    const fd = openSync(join(o.folder, name), 'wx', 0o600)
    own.set(name, { receipts: 0, shipped: false })
    segment = {
      name,
      fd,
      bytes: 0,
      receipts: 0,
      contexts: new Set(),
      dirtySinceMs: null,
      syncs: 0,
      ended: false,
    }
    // The file's name must be on the disk as well as its bytes.
    fsync(
      folderFd,
      error => error && deps.log.error('receipts.sync_failed', { error: String(error) }),
    )
    return segment
  }

  function sync(into: Segment): void {
    const sinceMs = into.dirtySinceMs ?? performance.now()
    into.dirtySinceMs = null
    into.syncs++
    syncs.begin(into.fd, sinceMs, error => {
      into.syncs--
      if (error) deps.log.error('receipts.sync_failed', { error: String(error) })
      if (into.ended && into.syncs === 0) closeSync(into.fd)
    })
  }

  function syncWhatIsDirty(): void {
    if (segment && segment.dirtySinceMs !== null) sync(segment)
  }

  function syncSoon(): void {
    syncTimer ??= setTimeout(() => {
      syncTimer = null
      syncWhatIsDirty()
    }, SYNC_MS)
  }

  /** Everything that has been written, on the disk. Whoever asks while a sync runs shares the next one. */
  async function settled(): Promise<void> {
    await syncs.ended()
    syncWhatIsDirty()
    await syncs.ended()
  }

  function endSegment(): void {
    if (!segment) return
    own.get(segment.name)!.receipts = segment.receipts
    segment.ended = true
    sync(segment)
    segment = null
  }

  /**
   * What the dead left, by name, then our own in the order of their receipts: the counts go up in it,
   * which names do not promise when the clock is set back.
   */
  function endedSegments(): string[] {
    const left = readdirSync(o.folder).filter(name => name.endsWith('.log') && !own.has(name))
    const ours = [...own].flatMap(([name, { shipped }]) => (shipped ? [] : [name]))
    return [...left.sort(), ...ours.filter(name => name !== segment?.name)]
  }

  async function shipOne(name: string): Promise<void> {
    const path = join(o.folder, name)
    const lines = wholeLines(readFileSync(path, 'utf8'), !own.has(name), deps.log)
    if (lines.length > 0) await o.ship(`[${lines.join(',')}]`)
    // Not by this thread: while the journal is busy it takes as long as many a request.
    await unlink(path)
    const ours = own.get(name)
    if (ours) ours.shipped = true
    for (const [first, { receipts, shipped: isShipped }] of own) {
      if (!isShipped) break
      shipped += receipts
      own.delete(first)
    }
    o.onShipped(shipped)
  }

  /** False when something is left. A segment that alone makes the ledger fail does not hold up the others. */
  async function shipAll(): Promise<boolean> {
    let faults = 0
    for (const name of endedSegments()) {
      try {
        await shipOne(name)
      } catch (error) {
        deps.log.error('receipts.not_shipped', { segment: name, error: String(error) })
        const isAway = !(error instanceof AppError) || error.code === 'unavailable'
        if (isAway || ++faults === FAULTS_MAX) return false
      }
    }
    return faults === 0
  }

  async function shipping(): Promise<void> {
    let retryMs = SHIP_RETRY_FIRST_MS
    while (!stopped) {
      await sleep(SEGMENT_MS)
      if (segment && segment.receipts > 0) endSegment()
      const all = await shipAll().catch(error => {
        deps.log.error('receipts.not_listed', { error: String(error) })
        return false
      })
      if (!all) await sleep(retryMs)
      retryMs = all ? SHIP_RETRY_FIRST_MS : Math.min(retryMs * 2, SHIP_RETRY_MAX_MS)
    }
  }

  const running = shipping()

  return {
    append(receipts) {
      const into = current()
      let text = ''
      for (const { context, line } of receipts) {
        if (!into.contexts.has(context.number)) {
          into.contexts.add(context.number)
          text += `${context.line}\n`
        }
        text += `${line}\n`
      }
      const bytes = Buffer.from(text)
      try {
        writeWhole(into.fd, bytes)
      } catch (error) {
        undo(into.fd, into.bytes)
        // Should that fail too, the segment may end in half a line: nothing may follow it.
        endSegment()
        throw error
      }
      into.bytes += bytes.length
      into.receipts += receipts.length
      appended += receipts.length
      into.dirtySinceMs ??= performance.now()
      syncSoon()
      if (into.bytes > SEGMENT_BYTES_MAX) endSegment()
    },
    overdue: () => (syncs.isBehind(segment?.dirtySinceMs ?? null) ? settled() : null),
    count: () => appended,
    async close(waitMs) {
      stopped = true
      if (syncTimer) clearTimeout(syncTimer)
      endSegment()
      await Promise.race([running.then(shipAll), sleep(waitMs, undefined, { ref: false })])
    },
  }
}
