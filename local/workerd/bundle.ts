/**
 * The edge's bundle, made by wrangler as a deployment makes it, without a network. Kept by the hash of
 * what it is made from: the second start takes it from there.
 */
import { createHash } from 'node:crypto'
import {
  accessSync,
  constants,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { AppError } from '#core/error.ts'
import { runWrangler } from './wrangler.ts'

/** Of the bundle, compressed, as Workers count it: what is larger starts more slowly on every isolate. */
export const GZIP_BYTES_MAX = 250 * 1024
const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const SOURCES = ['schemas', 'core', 'platform', 'edge', 'wrangler.toml', 'package.json']
const LOCK = 'package-lock.json'
const OLD_MS = 24 * 3600_000

export type Bundle = {
  script: string
  gzipBytes: number
  compatibilityDate: string
  compatibilityFlags: string[]
}

/** Makes the bundle, or takes the kept one. `spareFolder` keeps it where the project is read-only. */
export async function bundleWorker(spareFolder: string): Promise<Bundle> {
  const keep = keepFolder(spareFolder)
  const folder = join(keep, sourceHash())
  const kept = read(folder)
  if (kept) return kept
  forgetOld(keep)
  const half = `${folder}.${process.pid}.new`
  await build(half)
  try {
    renameSync(half, folder)
  } catch {
    // Another start was quicker.
    rmSync(half, { recursive: true, force: true })
  }
  const made = read(folder)
  if (!made) throw new AppError('internal', { internal: `wrangler left no worker.js in ${folder}` })
  return made
}

function read(folder: string): Bundle | null {
  let script: string
  try {
    script = readFileSync(join(folder, 'worker.js'), 'utf8')
  } catch {
    return null
  }
  return { script, gzipBytes: gzipSync(script).length, ...compatibility() }
}

/** The two settings that the runtime needs as well, from the place where they are declared. */
function compatibility(): Pick<Bundle, 'compatibilityDate' | 'compatibilityFlags'> {
  const config = readFileSync(join(ROOT, 'wrangler.toml'), 'utf8')
  const date = /^compatibility_date = "(.*)"$/m.exec(config)?.[1]
  const flags = /^compatibility_flags = (\[.*\])$/m.exec(config)?.[1]
  if (!date || !flags)
    throw new AppError('internal', { internal: 'wrangler.toml has no compatibility' })
  return { compatibilityDate: date, compatibilityFlags: JSON.parse(flags) as string[] }
}

function keepFolder(spareFolder: string): string {
  try {
    const folder = join(ROOT, 'node_modules', '.cache', 'galley-edge')
    mkdirSync(folder, { recursive: true })
    accessSync(folder, constants.W_OK)
    return folder
  } catch {
    mkdirSync(spareFolder, { recursive: true })
    return spareFolder
  }
}

function sourceHash(): string {
  const hash = createHash('sha256')
  const files = SOURCES.flatMap(name =>
    statSync(join(ROOT, name)).isFile()
      ? [name]
      : readdirSync(join(ROOT, name), { recursive: true, encoding: 'utf8' })
          .filter(file => file.endsWith('.ts'))
          .map(file => join(name, file)),
  )
  for (const file of [...files.sort(), LOCK]) {
    hash.update(`${file}\n`).update(readFileSync(join(ROOT, file)))
  }
  return hash.digest('hex').slice(0, 32)
}

async function build(outFolder: string): Promise<void> {
  await runWrangler(['deploy', '--dry-run', '--env', '', '--outdir', outFolder], outFolder).catch(
    error => {
      rmSync(outFolder, { recursive: true, force: true })
      throw error
    },
  )
}

function forgetOld(keep: string): void {
  for (const name of readdirSync(keep)) {
    const path = join(keep, name)
    if (Date.now() - statSync(path).mtimeMs > OLD_MS) rmSync(path, { recursive: true, force: true })
  }
}
