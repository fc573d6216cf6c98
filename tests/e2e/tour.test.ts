/** The commands of the README and of the guide to the command line, as they stand there, in one shell, against the product. */
import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { isShown, snippetsOf } from '../docs/snippets.ts'
import { product } from './product.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** What the suite itself has done: it started the product, and it is the test. */
const DONE = 'npm start\nnpm test\n'
const END_OF_SNIPPET = '=== end of snippet ==='

const home = mkdtempSync(join(tmpdir(), 'galley-tour-'))
afterAll(() => rmSync(home, { recursive: true, force: true }))

test('every command of the README works, in order, and prints what is shown', async () => {
  const [first, ...rest] = snippetsOf(readFileSync(join(ROOT, 'README.md'), 'utf8'))
  expect(first!.commands).toBe(DONE)
  expect(rest.length).toBeGreaterThan(5)
  const { code, out, err } = await shell(rest.map(snippet => snippet.commands))
  expect(code, `${out}\n${err}`).toBe(0)
  const outputs = out.split(`${END_OF_SNIPPET}\n`)
  for (const [at, { commands, shows }] of rest.entries()) {
    const printed = outputs[at]!
    expect(shows === null || isShown(printed, shows), `${commands}\nprinted\n${printed}`).toBe(true)
  }
  expect(outputs.at(-2)).toMatch(/^shop +iris +1 +1 /m)
})

test('every command on events, features and decisions in the guide works, in order, beside the files it names', async () => {
  const guide = readFileSync(join(ROOT, 'docs/cli.md'), 'utf8')
  const sections = guide
    .split(/^## /m)
    .filter(text => /^(Events and features|Decisions)\n/.test(text))
  const blocks = sections.flatMap(text => snippetsOf(text).map(snippet => snippet.commands))
  expect(blocks.length).toBeGreaterThan(7)
  const folder = join(home, 'payments')
  cpSync(join(ROOT, 'examples/payments'), folder, { recursive: true })
  const program = `'${process.execPath}' '${join(ROOT, 'sdk/cli/galley.ts')}'`
  const beginning = `galley() { ${program} "$@"; }`
  // What a reader of the guide waits for by reading.
  const paced = blocks.flatMap(block => [block, 'sleep 1'])
  const { code, out, err } = await shell([beginning, ...paced], { cwd: folder })
  expect(code, `${out}\n${err}`).toBe(0)
  expect(out).toContain('The same, to the last bit.')
})

async function shell(
  blocks: string[],
  { cwd = ROOT }: { cwd?: string } = {},
): Promise<{ code: number; out: string; err: string }> {
  const { url, key } = await product()
  const script = blocks.map(block => `${block}\necho\necho '${END_OF_SNIPPET}'\n`).join('')
  // npm finds the project by where it stands; a login of whoever runs this must not be seen.
  const env = {
    PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
    HOME: home,
    XDG_CONFIG_HOME: home,
    TMPDIR: home,
    GALLEY_URL: url,
    GALLEY_KEY: key,
  }
  const child = spawn('sh', ['-eu', '-c', script], {
    cwd,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [out, err] = ['', '']
  child.stdout.on('data', chunk => {
    out += chunk
  })
  child.stderr.on('data', chunk => {
    err += chunk
  })
  return new Promise(resolve => child.on('close', code => resolve({ code: code ?? 1, out, err })))
}
