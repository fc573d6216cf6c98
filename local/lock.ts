/**
 * One Galley per data folder. The lock is the operating system's own, on a file, through SQLite: it
 * goes with the process however that ends, knows nothing of pids that are used again, and holds
 * between containers that share a folder.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { AppError } from '#core/error.ts'

export type Lock = {
  /** Lets a second start name us. */
  announce(url: string): void
  release(): void
}

const LOCK_NAME = 'lock'
const SQLITE_BUSY = 5

/** Throws `in_use` when a live process holds the folder. */
export function lockFolder(folder: string): Lock {
  const whoPath = join(folder, 'run', 'galley.json')
  const database = new DatabaseSync(join(folder, LOCK_NAME), { timeout: 0 })
  try {
    database.exec('BEGIN EXCLUSIVE')
  } catch (cause) {
    database.close()
    if ((cause as { errcode?: number }).errcode !== SQLITE_BUSY) throw cause
    throw new AppError('in_use', {
      public: `Galley already runs on ${folder}${whoHolds(whoPath)}: use that one, stop it, or choose another folder with --data.`,
      cause,
    })
  }
  return {
    announce: url => writeFileSync(whoPath, JSON.stringify({ pid: process.pid, url })),
    release() {
      rmSync(whoPath, { force: true })
      database.close()
    },
  }
}

function whoHolds(path: string): string {
  try {
    const { pid, url } = JSON.parse(readFileSync(path, 'utf8'))
    return ` (process ${pid}, ${url})`
  } catch {
    return ''
  }
}
