/**
 * The step of an import on a runner: all rows are held against the contract first, and then become events. A
 * row's name is the version of its table and its number, so who does it again changes nothing.
 */
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import * as blobKeys from '#core/blob-keys.ts'
import { AppError } from '#core/error.ts'
import { checkedEvent } from '#core/events/contract.ts'
import { textOf } from '#core/events/time.ts'
import type { tables } from '#core/features/features.ts'
import type { Event } from '#schemas/event.ts'
import type { SetDeps } from '../job.ts'
import { type Progress, ROWS } from '../messages.ts'
import { inProcess } from '../process.ts'

const EVENTS_AT_ONCE = 500

/** Rejects with the signal's reason when aborted, and with an AppError otherwise: `invalid_body` is the file's fault. */
export async function importTable(
  deps: SetDeps,
  assignment: tables.Assignment,
  signal: AbortSignal,
  onProgress: (progress: Progress) => void,
): Promise<tables.Outcome> {
  const { tenantId, spec, type } = assignment
  const { sha256, format } = spec.input
  const file = { file: `table.${format}`, format }
  const files = { [file.file]: await deps.blobs.localFile(blobKeys.file(tenantId, sha256)) }
  const work = { task: 'rows' as const, file, time: spec.time, fields: type.fields }
  return inProcess(deps.scratch, { work, files }, signal, async ({ rows }, folder) => {
    const path = join(folder, ROWS)
    for await (const _ of eventsIn(path, assignment)) signal.throwIfAborted()
    let done = 0
    for await (const events of chunksOf(eventsIn(path, assignment))) {
      await deps.control.insist('/internal/events/ingest', { tenantId, events }, signal)
      done += events.length
      onProgress({ rowsTotal: rows, rowsDone: done })
    }
    return { kind: 'import' as const, rows }
  })
}

async function* eventsIn(
  path: string,
  { tenantId, spec, type }: tables.Assignment,
): AsyncGenerator<Event> {
  const { table, tableVersion, importedAt } = spec
  const source = `/galley/tables/${table}`
  const context = { tenantId, receivedAt: importedAt }
  let number = 0
  for await (const line of createInterface({ input: createReadStream(path) })) {
    const { time, data } = rowIn(line, number)
    if (spec.time !== null && time === null) throw wrongAt(number, spec.time, 'it is empty')
    // A column without a value is a field that is not there.
    const given = Object.entries(data).filter(([, value]) => value !== null)
    const raw = {
      id: `${tableVersion}/${number}`,
      source,
      type: type.type,
      time: time ?? textOf(importedAt),
      data: Object.fromEntries(given),
    }
    const checked = checkedEvent(type, raw, context)
    if ('errors' in checked) {
      const { pointer, detail } = checked.errors[0]!
      const column = pointer === '/time' ? (spec.time ?? 'time') : pointer.replace('/data/', '')
      throw wrongAt(number, column, detail)
    }
    yield checked.event
    number++
  }
}

function rowIn(line: string, row: number): { time: string | null; data: object } {
  try {
    return JSON.parse(line)
  } catch (cause) {
    const detail = `Row ${row} (from 0) holds a NaN or an infinity, which no field takes.`
    throw new AppError('invalid_body', { public: detail, cause })
  }
}

async function* chunksOf(events: AsyncIterable<Event>): AsyncGenerator<Event[]> {
  let chunk: Event[] = []
  for await (const event of events) {
    chunk.push(event)
    if (chunk.length < EVENTS_AT_ONCE) continue
    yield chunk
    chunk = []
  }
  if (chunk.length > 0) yield chunk
}

function wrongAt(row: number, column: string, detail: string): AppError {
  const says = detail.replace(/\.$/, '')
  return new AppError('invalid_body', {
    public: `Row ${row} (from 0), column "${column}": ${says}.`,
  })
}
