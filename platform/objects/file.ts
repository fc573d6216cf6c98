/**
 * The database file of one object: opened for one process alone, its commits on disk when `synced` says
 * so, and refused with its path when it is damaged, foreign, or of a newer layout.
 */
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import type { ObjectSql } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { openLogSync } from './log-sync.ts'

/** "GLYO" in the header of the file, so that no other program's database is taken for ours. */
const APPLICATION_ID = 0x474c594f
/** Rises when an older Galley could not use the file any more. */
const LAYOUT = 2
const STATEMENTS_MAX = 200
/** At most, of one file; taken as it is used. */
const CACHE_KIB = 32 * 1024
/** Pages of 4 KiB in the write-ahead log before they move to the file: whoever commits then waits for all of them. */
const CHECKPOINT_PAGES = 1_000
/** A Durable Object refuses these too: the host decides where a transaction begins and ends. */
const OF_THE_HOST =
  /^\s*(begin|commit|end|rollback|savepoint|release|pragma|attach|detach|vacuum)\b/i

export type ObjectFile = {
  sql: ObjectSql
  /** All of the work is done, or none of it. A failure leaves the file unusable. */
  commit(work: () => void): void
  /** Resolves when all that is committed is on disk; null: it is. Who was rejected closes the file. */
  synced(): Promise<void> | null
  /** Part of a commit, undone alone when it fails. Throws only where the whole commit is lost. */
  step<T>(work: () => T): Outcome<T>
  /** Throws where not all that is committed has come to the disk. */
  close(): void
}

export type Outcome<T> = { value: T } | { error: unknown }

/** Opens the file, or makes it. Throws an AppError that names the path. */
export function openObjectFile(path: string): ObjectFile {
  const db = explained(path, () => new DatabaseSync(path, { timeout: 0 }))
  try {
    explained(path, () => prepareFile(db, path))
  } catch (error) {
    db.close()
    throw error
  }
  const statements = new Map<string, Statement>()
  const log = openLogSync(`${path}-wal`)
  const begin = db.prepare('begin immediate')
  const commit = db.prepare('commit')
  const mark = db.prepare('savepoint step')
  const release = db.prepare('release step')
  let writes = false
  return {
    sql: {
      exec: <Row>(query: string, ...values: (string | number | null)[]) =>
        explained(path, () => {
          const statement = statementOf(db, statements, query)
          writes ||= statement.writes
          return statement.prepared.all(...values) as Row[]
        }),
    },
    commit: work =>
      explained(path, () => {
        writes = false
        begin.run()
        work()
        commit.run()
        if (writes) log.written()
      }),
    synced: () => log.synced(),
    step(work) {
      mark.run()
      try {
        const value = work()
        release.run()
        return { value }
      } catch (error) {
        // A full disk or a failed read ends the whole transaction, not this step alone.
        if (!db.isTransaction) throw error
        db.exec('rollback to step; release step')
        return { error }
      }
    },
    close() {
      try {
        // Moves the log into the file, and syncs both.
        db.close()
        log.moved()
      } finally {
        log.close()
      }
    },
  }
}

function prepareFile(db: DatabaseSync, path: string): void {
  // Held by this process alone, from the first read to the end: a second writer is refused.
  db.exec('pragma locking_mode = exclusive')
  const { id, layout, tables } = db
    .prepare(
      `select (select application_id from pragma_application_id) as id,
        (select user_version from pragma_user_version) as layout,
        (select count(*) from sqlite_schema) as tables`,
    )
    .get() as { id: number; layout: number; tables: number }
  const isNew = id === 0 && layout === 0 && tables === 0
  if (!isNew && id !== APPLICATION_ID) throw damaged(path, 'it is not the file of an object')
  if (!isNew && layout !== LAYOUT) {
    throw new AppError('conflict', {
      public:
        layout > LAYOUT
          ? 'An object was written by a newer Galley: start that version.'
          : 'An object was written by a Galley before its first release: begin with a new data folder.',
      internal: `${path} has layout ${layout}, this Galley knows ${LAYOUT}`,
    })
  }
  // A commit writes the log and does not sync it: `synced` does, without holding this thread up.
  db.exec('pragma journal_mode = wal; pragma synchronous = normal')
  // What is erased must not be left in the file, as free pages would keep it.
  db.exec('pragma secure_delete = on')
  // Keys come in no order: pages that do not fit are read and written again and again.
  db.exec(`pragma cache_size = -${CACHE_KIB}; pragma wal_autocheckpoint = ${CHECKPOINT_PAGES}`)
  if (!isNew) return
  db.exec(
    `begin immediate; pragma application_id = ${APPLICATION_ID}; pragma user_version = ${LAYOUT}; commit`,
  )
}

/** `writes`: as far as its first word tells. */
type Statement = { prepared: StatementSync; writes: boolean }

function statementOf(db: DatabaseSync, statements: Map<string, Statement>, query: string) {
  const known = statements.get(query)
  if (known) return known
  if (OF_THE_HOST.test(query) || /;\s*\S/.test(query)) {
    throw new AppError('internal', {
      internal: `An object may run one statement at a time, and none that its host runs: ${query}`,
    })
  }
  const statement = { prepared: db.prepare(query), writes: !/^\s*select\b/i.test(query) }
  if (statements.size >= STATEMENTS_MAX) statements.delete(statements.keys().next().value!)
  statements.set(query, statement)
  return statement
}

function explained<T>(path: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    const { code, errcode } = error as { code?: string; errcode?: number }
    if (code !== 'ERR_SQLITE_ERROR' || errcode === undefined) throw error
    throw faultOf(path, errcode & 0xff, error as Error)
  }
}

/** Primary result codes: https://sqlite.org/rescode.html */
function faultOf(path: string, resultCode: number, cause: Error): AppError {
  switch (resultCode) {
    case 5:
    case 6:
      return new AppError('unavailable', {
        internal: `${path} is held by another process: two hosts must not share a folder`,
        retryable: true,
        cause,
      })
    case 11:
    case 26:
      return damaged(path, cause.message, cause)
    case 13:
      return new AppError('insufficient_storage', { internal: `${path}: ${cause.message}`, cause })
    default:
      return new AppError('internal', { internal: `${path}: ${cause.message}`, cause })
  }
}

function damaged(path: string, reason: string, cause?: Error): AppError {
  return new AppError('internal', {
    internal: `${path} is damaged (${reason}): restore it from a backup, or move it away to begin it anew`,
    cause,
  })
}
