/**
 * Native packages for the processor that functions run on. npm installs those of this machine alone; of
 * another one they come from the registry once, in the version and with the digest of the lock.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { AppError } from '#core/error.ts'

export const ARCHS = ['arm64', 'x64'] as const
export type Arch = (typeof ARCHS)[number]
type Locked = {
  version: string
  integrity: string
  dependencies?: Record<string, string>
  optionalDependencies?: Record<string, string>
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const KEPT = join(ROOT, 'node_modules/.cache/galley-native')

/** The package and those that it needs on Linux of this processor, each with the folder that it is in. */
export async function nativePackages(name: string, arch: Arch) {
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'))
  const found = new Map<string, string>()
  visit(name)
  return [...found].map(([name, from]) => ({ name, from }))

  function visit(name: string): void {
    if (found.has(name)) return
    const locked: Locked | undefined = packages[`node_modules/${name}`]
    if (!locked) throw new AppError('internal', { internal: `${name} is not in package-lock.json` })
    const installed = join(ROOT, 'node_modules', name)
    found.set(name, existsSync(installed) ? installed : fetched(name, locked))
    const needs = Object.keys({ ...locked.dependencies, ...locked.optionalDependencies })
    for (const need of needs) if (!isOfAnother(need, arch)) visit(need)
  }
}

/** The names of such packages end in their system and processor. */
function isOfAnother(name: string, arch: Arch): boolean {
  const system = /-(linux|darwin|win32)-(x64|arm64)(-musl)?$/.exec(name)
  return system !== null && !name.endsWith(`-linux-${arch}`)
}

function fetched(name: string, { version, integrity }: Locked): string {
  const folder = join(KEPT, `${name.replaceAll('/', '-')}-${version}`)
  if (existsSync(folder)) return join(folder, 'package')
  const half = `${folder}.${process.pid}.new`
  mkdirSync(half, { recursive: true })
  try {
    const args = ['pack', `${name}@${version}`, '--silent', '--pack-destination', half]
    const file = execFileSync('npm', args, { cwd: half, encoding: 'utf8' }).trim()
    const archive = join(half, file.split('\n').at(-1)!)
    const digest = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`
    if (digest !== integrity) {
      throw new Error(`it has the digest ${digest}, and package-lock.json says ${integrity}`)
    }
    execFileSync('tar', ['-xzf', archive, '-C', half])
    rmSync(archive)
    renameSync(half, folder)
  } catch (cause) {
    rmSync(half, { recursive: true, force: true })
    throw new AppError('unavailable', {
      public: `${name}@${version} could not be fetched: ${(cause as Error).message}`,
      cause,
    })
  }
  return join(folder, 'package')
}
