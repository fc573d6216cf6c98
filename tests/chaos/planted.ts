/**
 * Faults on purpose: a copy of the product with one of its safeguards removed goes through the rounds
 * that this safeguard is for. A checker that sees nothing then would have seen nothing before.
 */
import {
  cpSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Verdict } from './checker.ts'
import type { Round } from './rounds.ts'

export type Fault = 'dedupe' | 'epoch' | 'sync'
type Planted = {
  rounds: Round[]
  /** File, what stands there, what stands there instead; every one of them must be found. */
  patches: [string, string, string][]
  isSeen(found: Verdict & { staleResults: number }): boolean
}

const TABLES = 'schemas/migrations/0000_foundation.sql'
const LEASES = 'core/jobs/leases.ts'
const DISK = 'platform/blob/disk.ts'
const SYNCS = 'gpu-runners/online/syncs.ts'

export const PLANTED: Record<Fault, Planted> = {
  // A killed runner's receipts come twice: from the router's copies and from the log it left.
  dedupe: {
    rounds: [['runner', 'runner'], ['runner']],
    patches: [
      [TABLES, ',\n\tCONSTRAINT "receipts_tenant_id_id_pk" PRIMARY KEY("tenant_id","id")', ''],
    ],
    isSeen: found => found.billedTwice > 0,
  },
  // A runner that was stopped past its lease finishes what is another's by now.
  epoch: {
    rounds: [['zombie']],
    patches: [
      [LEASES, ', eq(steps.epoch, input.epoch)', ''],
      [LEASES, '!step || step.epoch !== input.epoch)', '!step)'],
      [LEASES, '!step || step.epoch !== input.epoch ||', '!step ||'],
    ],
    isSeen: found => found.staleResults > 0 || found.lost > 0 || found.billedTwice > 0,
  },
  sync: {
    rounds: [['power']],
    patches: [
      [DISK, 'await file.sync()', ''],
      [DISK, 'await folder.sync()', ''],
      [SYNCS, 'fdatasync(fd, error =>', 'setImmediate((error: Error | null = null) =>'],
    ],
    isSeen: found => found.lost > 0,
  },
}

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const LEFT_OUT = new Set(['node_modules', '.git', '.galley', 'dist'])

export type Copy = { root: string; remove(): void }

export function plant(fault: Fault): Copy {
  return copyWith(fault, PLANTED[fault].patches)
}

/** A copy of the sources with the patches in it. Throws where the code is not what they expect. */
export function copyWith(name: string, patches: Planted['patches']): Copy {
  const root = mkdtempSync(join(tmpdir(), `galley-${name}-`))
  cpSync(ROOT, root, { recursive: true, filter: path => !LEFT_OUT.has(basename(path)) })
  symlinkSync(realpathSync(join(ROOT, 'node_modules')), join(root, 'node_modules'))
  for (const [file, from, to] of patches) {
    const path = join(root, file)
    const text = readFileSync(path, 'utf8')
    if (!text.includes(from)) throw new Error(`${file} does not contain "${from}": plant it anew`)
    writeFileSync(path, text.replaceAll(from, to))
  }
  return { root, remove: () => rmSync(root, { recursive: true, force: true }) }
}
