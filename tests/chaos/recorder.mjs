/**
 * Preloaded into every process of the product before a power failure: notes which files and names are
 * synced, in one journal for all of them, in the order in which it happened. `power.ts` reads it. What
 * is about to be removed or replaced is kept by a hard link, because the removal may not have been
 * synced either.
 */
import fs from 'node:fs'
import promises from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { dirname, resolve, sep } from 'node:path'

const { searchParams } = new URL(import.meta.url)
const journalPath = searchParams.get('journal')
const root = searchParams.get('data') + sep
/** PostgreSQL and SQLite sync their own; the rest is made anew at every start. */
const OTHERS = /^(postgres|objects|objects-workerd|lock|lock-journal|log|run|scratch|cache)(\/|$)/
const KEPT = `${journalPath}.kept`

const real = { ...fs }
const realPromises = { ...promises }
const journal = real.openSync(journalPath, 'a')
real.mkdirSync(KEPT, { recursive: true })
let serial = 0

function note(entry) {
  real.writeSync(journal, `${JSON.stringify(entry)}\n`)
}

/** The absolute path if it is one of ours to watch. */
function ours(path) {
  if (typeof path !== 'string') return null
  const absolute = resolve(path)
  return absolute.startsWith(root) && !OTHERS.test(absolute.slice(root.length)) ? absolute : null
}

function inode(path) {
  const stat = real.statSync(path, { throwIfNoEntry: false })
  return stat ? stat.ino : 0
}

const folderOf = path => inode(dirname(path))
const name = () => `${process.pid}-${serial++}`

/** Notes a name that came to be, unless it was there before. */
function creation(path) {
  const at = ours(path)
  if (!at || real.existsSync(at)) return () => {}
  return () => note({ op: 'create', path: at, ino: inode(at), folders: [folderOf(at)] })
}

function keep(path) {
  const stat = real.lstatSync(path, { throwIfNoEntry: false })
  if (!stat?.isFile()) return null
  const kept = `${KEPT}/${name()}`
  real.linkSync(path, kept)
  return kept
}

function removal(path) {
  const at = ours(path)
  const kept = at && keep(at)
  return () => kept && note({ op: 'remove', path: at, kept, folders: [folderOf(at)] })
}

function renaming(from, to) {
  const [a, b] = [ours(from), ours(to)]
  if (!a || !b) return creation(to)
  const kept = keep(b)
  return () => note({ op: 'rename', from: a, path: b, kept, folders: [folderOf(a), folderOf(b)] })
}

function making(path) {
  const at = ours(path)
  const missing = []
  for (let up = at; up && ours(up) && !real.existsSync(up); up = dirname(up)) missing.unshift(up)
  return () => {
    for (const made of missing) note({ op: 'mkdir', path: made, folders: [folderOf(made)] })
  }
}

/** What a file holds when the sync begins is what the sync promises. */
function syncing(fd) {
  const { ino, size } = real.fstatSync(fd)
  const id = name()
  note({ op: 'sync', id, ino, size })
  return () => note({ op: 'synced', id })
}

const creates = flags => typeof flags === 'string' && /[wa]/.test(flags)

/** Each call that matters: what is to be noted after it succeeded, decided before it begins. */
const NOTED = {
  open: (path, flags) => (creates(flags) ? creation(path) : () => {}),
  writeFile(path, _, options) {
    const noted = creation(path)
    return () => {
      noted()
      if (!options?.flush || !ours(path)) return
      const fd = real.openSync(path, 'r')
      syncing(fd)()
      real.closeSync(fd)
    }
  },
  rename: renaming,
  unlink: removal,
  rm: removal,
  link: (_, to) => creation(to),
  copyFile: (_, to) => creation(to),
  mkdir: making,
  fsync: syncing,
  fdatasync: syncing,
}

for (const [call, noted] of Object.entries(NOTED)) {
  fs[`${call}Sync`] = (...args) => {
    const done = noted(...args)
    const result = real[`${call}Sync`](...args)
    done()
    return result
  }
  if (call in promises) {
    promises[call] = async (...args) => {
      const done = noted(...args)
      const result = await realPromises[call](...args)
      done()
      return result
    }
  }
}
for (const call of ['fsync', 'fdatasync']) {
  fs[call] = (fd, callback) => {
    const done = syncing(fd)
    real[call](fd, error => {
      if (!error) done()
      callback(error)
    })
  }
}

const handle = await realPromises.open(journalPath, 'r')
const prototype = Object.getPrototypeOf(handle)
await handle.close()
for (const call of ['sync', 'datasync']) {
  const original = prototype[call]
  prototype[call] = async function () {
    const done = syncing(this.fd)
    await original.call(this)
    done()
  }
}
syncBuiltinESMExports()
