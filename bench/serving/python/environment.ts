/**
 * A Python with one of the peers in it, made once and kept beside the packages of npm. Each has its own: what
 * they need does not go together. Where there is no Python, or a peer does not install, the reason is a value.
 */
import { execFile, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const CACHE = fileURLToPath(new URL('../../../node_modules/.cache/galley/', import.meta.url))
/** All of them have wheels for these. */
const VERSIONS = ['3.10', '3.11', '3.12']
const INSTALL_MS_MAX = 900_000
const REASON_CHARS_MAX = 300

/** The folder of its commands. */
export type Environment = { bin: string } | { reason: string }

export async function environmentOf(
  name: string,
  packages: string[],
  say: (line: string) => void,
): Promise<Environment> {
  const version = pythonVersion()
  if (!version) return { reason: 'there is no python3 on this machine' }
  if (!VERSIONS.some(known => version.startsWith(`${known}.`))) {
    return { reason: `the peers take Python ${VERSIONS.join(', ')}, and this is ${version}` }
  }
  const wanted = createHash('sha256')
    .update(`${version} ${packages.join(' ')}`)
    .digest('hex')
  const folder = join(CACHE, `${name}-${wanted.slice(0, 12)}`)
  const bin = join(folder, 'bin')
  // Written last: an installation that was interrupted has none.
  const done = join(folder, 'installed')
  if (existsSync(done)) return { bin }
  say(`Installing ${packages.join(', ')} for Python ${version} …`)
  try {
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(CACHE, { recursive: true })
    await run('python3', ['-m', 'venv', folder])
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check']
    await run(join(bin, 'python'), [...pip, ...packages], { timeout: INSTALL_MS_MAX })
    writeFileSync(done, '')
    return { bin }
  } catch (error) {
    const said = String((error as { stderr?: string }).stderr || (error as Error).message)
    const last = said.trim().split('\n').at(-1)!.slice(0, REASON_CHARS_MAX)
    return { reason: `${name} could not be installed: ${last}` }
  }
}

function pythonVersion(): string | null {
  const script = 'import platform; print(platform.python_version())'
  const { status, stdout } = spawnSync('python3', ['-c', script], { encoding: 'utf8' })
  return status === 0 ? stdout.trim() : null
}
