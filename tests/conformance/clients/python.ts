/**
 * Clients that are written in Python: an environment with exactly what they need, made once and kept
 * beside the packages of npm, and their cases as lines of JSON. Where there is no Python, or something
 * cannot be installed, the reason is a value: who needs it leaves its cases out.
 */
import { execFile, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Tally } from './tally.ts'

const run = promisify(execFile)
const CACHE = fileURLToPath(new URL('../../../node_modules/.cache/galley/', import.meta.url))
const PYTHON_MIN = [3, 10]
const INSTALL_MS_MAX = 900_000
const REASON_CHARS_MAX = 300
const PYTHON_ENV = { PYTHONWARNINGS: 'ignore', PYTHONUNBUFFERED: '1' }

/** The folder with the commands of the virtual environment. */
export type Environment = { bin: string } | { reason: string }

/** `name` is that of the folder, `requirements` the path of a list of exact versions. */
export async function pythonWith(
  name: string,
  requirements: string,
  say: (line: string) => void,
): Promise<Environment> {
  const version = versionOf('python3')
  if (!version) return { reason: 'there is no python3 on this machine' }
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major < PYTHON_MIN[0]! || (major === PYTHON_MIN[0] && minor < PYTHON_MIN[1]!)) {
    return { reason: `it needs Python ${PYTHON_MIN.join('.')}, and this is ${version}` }
  }
  const wanted = readFileSync(requirements, 'utf8')
  const state = createHash('sha256').update(`${version} ${wanted}`).digest('hex').slice(0, 12)
  const folder = join(CACHE, `${name}-${state}`)
  const bin = join(folder, 'bin')
  // Written last: an installation that was interrupted has none.
  const done = join(folder, 'installed')
  if (existsSync(done)) return { bin }
  say(`Installing ${wanted.trim().split('\n').join(', ')} for Python ${version} …`)
  try {
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(CACHE, { recursive: true })
    await run('python3', ['-m', 'venv', folder])
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check']
    await run(join(bin, 'python'), [...pip, '-r', requirements], { timeout: INSTALL_MS_MAX })
    writeFileSync(done, '')
    return { bin }
  } catch (error) {
    const said = String((error as { stderr?: string }).stderr || (error as Error).message)
    const last = said.trim().split('\n').at(-1)!.slice(0, REASON_CHARS_MAX)
    return { reason: `it could not be installed: ${last}` }
  }
}

type Line = { case: string; failure: string | null } | { cases: number }

/**
 * Runs a client. Its lines are results, named after it; the last says how many there were, so that
 * none is lost where it dies.
 */
export async function runClient(
  tally: Tally,
  client: { name: string; bin: string; script: string; args: string[]; env?: object },
): Promise<void> {
  const { name, bin, script, args, env } = client
  const child = spawn(join(bin, 'python'), [script, ...args], {
    env: { ...process.env, ...PYTHON_ENV, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  child.stderr.on('data', chunk => {
    said = (said + chunk).slice(-4_000)
  })
  let results = 0
  let told = -1
  const ended = new Promise<number | null>(resolve => child.on('close', resolve))
  for await (const text of createInterface({ input: child.stdout })) {
    const line = readable(text)
    if (!line) continue
    if ('cases' in line) told = line.cases
    else {
      results++
      tally.result(`${name}: ${line.case}`, line.failure)
    }
  }
  const code = await ended
  await tally.case(`${name}: the client ran to its end`, () => {
    if (code !== 0 || told !== results) throw new Error(`it ended with ${code}: ${said}`)
  })
}

function readable(text: string): Line | null {
  try {
    return JSON.parse(text) as Line
  } catch {
    return null
  }
}

function versionOf(command: string): string | null {
  const script = 'import platform; print(platform.python_version())'
  const { status, stdout } = spawnSync(command, ['-c', script], { encoding: 'utf8' })
  return status === 0 ? stdout.trim() : null
}
