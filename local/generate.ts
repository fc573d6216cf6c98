/**
 * `npm run generate`: writes what follows from the schemas: migrations, the client's contract, the page
 * of error codes. `--check` writes nothing, and fails where something is stale.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ERRORS } from '#schemas/errors.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const MIGRATIONS = join(ROOT, 'schemas/migrations')
const ERRORS_PAGE = join(ROOT, 'docs/errors.md')
const isCheck = process.argv.includes('--check')

const done = [migrations(), contract(), errorsPage()]
process.exitCode = done.every(ok => ok) ? 0 : 1

/** Tables that changed since the newest migration get one more; a check makes it elsewhere. */
function migrations(): boolean {
  if (!isCheck) return drizzle('inherit', []).ok
  const folder = mkdtempSync(join(tmpdir(), 'galley-migrations-'))
  try {
    cpSync(MIGRATIONS, folder, { recursive: true })
    const before = readdirSync(folder).length
    // It takes the folder only as a path from the working directory.
    const { ok, output } = drizzle('pipe', ['--out', relative(ROOT, folder)])
    const isFresh = ok && readdirSync(folder).length === before
    if (!isFresh) say(`${output}\nThe tables changed: run "npm run generate" for a migration.`)
    return isFresh
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function drizzle(stdio: 'inherit' | 'pipe', flags: string[]): { ok: boolean; output: string } {
  const source = ['--dialect', 'postgresql', '--schema', './schemas/tables/*.ts']
  const out = flags.length > 0 ? flags : ['--out', './schemas/migrations']
  const args = ['node_modules/drizzle-kit/bin.cjs', 'generate', ...source, ...out]
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: ROOT,
    stdio,
    encoding: 'utf8',
  })
  return { ok: status === 0, output: `${stdout ?? ''}${stderr ?? ''}` }
}

function contract(): boolean {
  const args = ['sdk/generate.ts', ...(isCheck ? ['--check'] : [])]
  return spawnSync(process.execPath, args, { cwd: ROOT, stdio: 'inherit' }).status === 0
}

function errorsPage(): boolean {
  const text = errorsText()
  if (!isCheck) {
    writeFileSync(ERRORS_PAGE, text)
    return true
  }
  const isFresh = readIfThere(ERRORS_PAGE) === text
  if (!isFresh) say('docs/errors.md is stale: run "npm run generate".')
  return isFresh
}

function errorsText(): string {
  const sections = Object.entries(ERRORS).map(
    ([code, { status, title }]) => `## ${code}\n\nStatus ${status}. ${title}\n`,
  )
  return `<!-- Generated from schemas/errors.ts by "npm run generate"; not to be edited. -->

# Error codes

An error is a problem document (RFC 9457) with a stable \`code\`, the \`request_id\` that stands in the
logs, and a \`detail\` that says what was wrong with this request and what would be right. Programs
branch on \`code\`; texts may change. Under \`/v2\`, where the Open Inference Protocol fixes the form, the
same members stand beside its own \`error\`; on the paths of OpenAI's API they stand beside an \`error\` with
\`message\`, \`type\`, \`param\` and \`code\`. 429 and 503 come with \`Retry-After\` where waiting helps.

${sections.join('\n')}`
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}

function say(text: string): void {
  process.stderr.write(`${text}\n`)
}
