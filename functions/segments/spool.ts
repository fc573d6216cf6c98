/** Rows of the log on disk, and the Parquet files that are made of them, in a folder that is gone afterwards. */

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { appendFile, mkdir, mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { LogRow, OpenSpool, SegmentContent, SegmentFacts, Spool } from '#core/events/events.ts'
import { measureSql, rowsAsSegment } from '#core/events/sealing/segment.ts'
import { sqlText } from '#core/sql-text.ts'
import type { EventType } from '#schemas/event.ts'
import { type Analysis, openAnalysis } from './database.ts'

const FORMAT = '(format parquet, compression zstd, row_group_size 122880)'
/** Events without a place first; of one partition in its own order. */
const ORDER = 'partition nulls first, seq, number'
const READ_BYTES = 262_144

/** At once in a process: the engine of each takes some hundred megabytes. */
const OPEN_MAX = 4

/**
 * In a folder for nothing else: what those that were killed have left there is gone first. Who opens one too
 * many waits until another is closed.
 */
export async function spoolsIn(parent: string): Promise<OpenSpool> {
  await rm(parent, { recursive: true, force: true })
  await mkdir(parent, { recursive: true, mode: 0o700 })
  const waiting: (() => void)[] = []
  let open = 0
  const leave = () => {
    const next = waiting.shift()
    if (next) next()
    else open--
  }
  return async () => {
    if (open < OPEN_MAX) open++
    else await new Promise<void>(resolve => waiting.push(resolve))
    try {
      const spool = await openSpool(parent)
      return { ...spool, close: () => spool.close().finally(leave) }
    } catch (error) {
      leave()
      throw error
    }
  }
}

export async function openSpool(parent = tmpdir()): Promise<Spool> {
  const folder = await mkdtemp(join(parent, 'galley-segments-'))
  const files = new Map<string, string>()
  let database: Analysis | null = null
  let made = 0
  const analysis = async () => {
    database ??= await openAnalysis(folder)
    return database
  }

  async function written(sql: string, type?: EventType): Promise<SegmentContent> {
    const db = await analysis()
    const path = join(folder, `segment-${made++}.parquet`)
    await db.run(`copy (${sql}) to ${sqlText(path)} ${FORMAT}`)
    const content = await contentOf(db, path)
    return { ...content, measured: type ? await measured(db, type, path) : {} }
  }

  async function append(type: string, lines: string): Promise<string> {
    const path = files.get(type) ?? join(folder, `rows-${files.size}.jsonl`)
    files.set(type, path)
    await appendFile(path, lines)
    return path
  }

  return {
    async add(rows) {
      for (const [type, some] of Map.groupBy(rows, row => row.type)) {
        await append(type, linesOf(some))
      }
    },
    types: () => [...files.keys()].sort(),
    async segmentOf(type: EventType) {
      // An export's file may be without rows; it has the columns all the same.
      const path = await append(type.type, '')
      const rows = rowsAsSegment(type, path)
      return written(`select * from ${rows} order by ${ORDER}`, type)
    },
    without(path, who) {
      return written(`select * from ${fileOf(path)} where number not in (${numbersOf(path, who)})`)
    },
    async placesOf(path, who) {
      const db = await analysis()
      return db.rows(`select distinct key, partition, entity, entity_key as "entityKey" from ${fileOf(path)}
        where number in (${numbersOf(path, who)}) and partition is not null`)
    },
    async close() {
      database?.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

type Who = { entity: string; entityKey: string }

function fileOf(path: string): string {
  return `read_parquet(${sqlText(path)})`
}

function numbersOf(path: string, { entity, entityKey }: Who): string {
  return `select number from ${fileOf(path)}
    where entity = ${sqlText(entity)} and entity_key = ${sqlText(entityKey)}`
}

function linesOf(rows: readonly LogRow[]): string {
  return rows.map(row => `${JSON.stringify(row)}\n`).join('')
}

async function measured(db: Analysis, type: EventType, path: string) {
  const sql = measureSql(type, fileOf(path))
  const [row] = sql === null ? [{}] : await db.rows<SegmentContent['measured']>(sql)
  return row!
}

async function contentOf(db: Analysis, path: string): Promise<Omit<SegmentContent, 'measured'>> {
  const { size } = await stat(path)
  const hash = createHash('sha256')
  const content = () => createReadStream(path, { highWaterMark: READ_BYTES })
  for await (const chunk of content()) hash.update(chunk)
  return { sha256: hash.digest('hex'), bytes: size, content, facts: await factsOf(db, path) }
}

type Counted = Record<keyof Omit<SegmentFacts, 'watermarks'>, bigint | null>

/** Of the file itself, so that the manifest says what can be read. */
async function factsOf(db: Analysis, path: string): Promise<SegmentFacts> {
  const file = fileOf(path)
  const [counted] = await db.rows<Counted>(`select count(*) as rows,
    count(distinct number) as events, min(number) as "numberFrom", max(number) as "numberTo",
    epoch_us(min(event_time)) as "eventTimeFrom", epoch_us(max(event_time)) as "eventTimeTo",
    epoch_us(min(known_at)) as "knownFrom", epoch_us(max(known_at)) as "knownTo" from ${file}`)
  const marks = await db.rows<{ partition: number; low: bigint; high: bigint }>(`
    select partition, min(seq) as low, max(seq) as high from ${file}
    where partition is not null group by partition order by partition`)
  const whole = (name: keyof Counted) => (counted![name] === null ? null : Number(counted![name]))
  return {
    rows: whole('rows')!,
    events: whole('events')!,
    numberFrom: whole('numberFrom') ?? 0,
    numberTo: whole('numberTo') ?? 0,
    eventTimeFrom: whole('eventTimeFrom'),
    eventTimeTo: whole('eventTimeTo'),
    knownFrom: whole('knownFrom'),
    knownTo: whole('knownTo'),
    watermarks: Object.fromEntries(
      marks.map(({ partition, low, high }) => [partition, [Number(low), Number(high)]]),
    ),
  }
}
