/**
 * A power failure, as our own files see it: of each file stays what was synced, of each folder the
 * names as they were at its last sync. The journal of `recorder.mjs` says which.
 */
import {
  linkSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
} from 'node:fs'
import { join } from 'node:path'

type NameOp = {
  op: 'create' | 'mkdir' | 'remove' | 'rename'
  path: string
  from?: string
  kept?: string | null
  ino?: number
  /** Folders that must be synced before it holds. */
  folders: number[]
}
type Entry =
  | NameOp
  | { op: 'sync'; id: string; ino: number; size: number }
  | { op: 'synced'; id: string }

export type Taken = { names: number; files: number; bytes: number }

/** Counts all that there is as synced: work begins from here. */
export function forgetJournal(journal: string): void {
  truncateSync(journal)
}

/** Takes back what was not synced. Nothing may run on the folder. */
export function cutPower(journal: string, dataFolder: string): Taken {
  const { ops, created, sizes } = readJournal(journal)
  const taken: Taken = { names: 0, files: 0, bytes: 0 }
  for (const op of ops.toReversed()) {
    if (op.folders.length === 0) continue
    undo(op)
    taken.names++
  }
  for (const path of filesUnder(dataFolder)) {
    const { ino, size } = statSync(path)
    const synced = sizes.get(ino) ?? (created.has(ino) ? 0 : size)
    if (size <= synced) continue
    truncateSync(path, synced)
    taken.files++
    taken.bytes += size - synced
  }
  rmSync(`${journal}.kept`, { recursive: true, force: true })
  rmSync(journal, { force: true })
  return taken
}

function readJournal(journal: string) {
  const ops: NameOp[] = []
  const created = new Set<number>()
  const sizes = new Map<number, number>()
  /** Syncs under way, with how many operations came before them. */
  const running = new Map<string, { ino: number; size: number; before: number }>()
  for (const entry of entriesOf(journal)) {
    if (entry.op === 'sync') running.set(entry.id, { ...entry, before: ops.length })
    else if (entry.op !== 'synced') {
      ops.push(entry)
      if (entry.ino !== undefined) created.add(entry.ino)
    } else {
      const sync = running.get(entry.id)
      // It began before the journal did.
      if (!sync) continue
      sizes.set(sync.ino, Math.max(sync.size, sizes.get(sync.ino) ?? 0))
      for (const op of ops.slice(0, sync.before)) {
        op.folders = op.folders.filter(folder => folder !== sync.ino)
      }
    }
  }
  return { ops, created, sizes }
}

function entriesOf(journal: string): Entry[] {
  const lines = readFileSync(journal, 'utf8').split('\n')
  // Whoever was killed while writing left half a line; others have written on behind it.
  return lines.flatMap(line => {
    try {
      return [JSON.parse(line) as Entry]
    } catch {
      return []
    }
  })
}

function undo({ op, path, from, kept }: NameOp): void {
  if (op === 'create' || op === 'mkdir') rmSync(path, { recursive: true, force: true })
  if (op === 'rename') renameSync(path, from!)
  if (kept) linkSync(kept, path)
}

function filesUnder(dataFolder: string): string[] {
  return ['blobs', 'receipts', '.'].flatMap(folder =>
    readdirSync(join(dataFolder, folder), { recursive: folder !== '.', withFileTypes: true })
      .filter(entry => entry.isFile() && entry.name !== 'lock' && entry.name !== 'lock-journal')
      .map(entry => join(entry.parentPath, entry.name)),
  )
}
