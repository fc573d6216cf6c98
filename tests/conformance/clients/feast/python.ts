/**
 * A Python with Feast in it, made once and kept beside the packages of npm. Where there is no Python, or
 * Feast cannot be installed, the reason is a value: who needs it leaves its cases out.
 */
import { execFile, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const REQUIREMENTS = fileURLToPath(new URL('./requirements.txt', import.meta.url))
const CACHE = fileURLToPath(new URL('../../../../node_modules/.cache/galley/', import.meta.url))
/** Of Feast. */
const PYTHON_MIN = [3, 10]
const INSTALL_MS_MAX = 900_000
const REASON_CHARS_MAX = 300

/** Feast reports its use to its makers unless it is told not to. */
export const FEAST_ENV = { FEAST_USAGE: 'False', PYTHONWARNINGS: 'ignore', PYTHONUNBUFFERED: '1' }

export type Python = { python: string; feast: string } | { reason: string }

/** The interpreter and the command `feast` of the virtual environment. */
export async function pythonWithFeast(say: (line: string) => void): Promise<Python> {
  const version = versionOf('python3')
  if (!version) return { reason: 'there is no python3 on this machine' }
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major < PYTHON_MIN[0]! || (major === PYTHON_MIN[0] && minor < PYTHON_MIN[1]!)) {
    return { reason: `Feast needs Python ${PYTHON_MIN.join('.')}, and this is ${version}` }
  }
  const wanted = readFileSync(REQUIREMENTS, 'utf8')
  const name = createHash('sha256').update(`${version} ${wanted}`).digest('hex').slice(0, 12)
  const folder = join(CACHE, `feast-${name}`)
  const found = { python: join(folder, 'bin/python'), feast: join(folder, 'bin/feast') }
  // Written last: an installation that was interrupted has none.
  const done = join(folder, 'installed')
  if (existsSync(done)) return found
  say(`Installing ${wanted.trim()} for Python ${version} …`)
  try {
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(CACHE, { recursive: true })
    await run('python3', ['-m', 'venv', folder])
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check']
    await run(found.python, [...pip, '-r', REQUIREMENTS], { timeout: INSTALL_MS_MAX })
    writeFileSync(done, '')
    return found
  } catch (error) {
    const said = String((error as { stderr?: string }).stderr || (error as Error).message)
    const last = said.trim().split('\n').at(-1)!.slice(0, REASON_CHARS_MAX)
    return { reason: `Feast could not be installed: ${last}` }
  }
}

function versionOf(command: string): string | null {
  const script = 'import platform; print(platform.python_version())'
  const { status, stdout } = spawnSync(command, ['-c', script], { encoding: 'utf8' })
  return status === 0 ? stdout.trim() : null
}
