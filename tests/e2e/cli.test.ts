/** The command line against the whole product, as a newcomer types it. */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { product } from './product.ts'

const ENTRY = fileURLToPath(new URL('../../sdk/cli/galley.ts', import.meta.url))
const GRAPH = fileURLToPath(new URL('../../examples/iris/iris.onnx', import.meta.url))
const MODEL = 'iris-by-cli'
const FLOWER = [5.1, 3.5, 1.4, 0.2]
const ROWS = 1_000

let home: string
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'galley-cli-e2e-'))
})
afterAll(() => rm(home, { recursive: true, force: true }))

type Ran = { code: number; out: string; err: string }

/** Runs the program in a home of its own, whose only knowledge is what it was told there. */
function galley(args: string[], input = ''): Promise<Ran> {
  const options = { cwd: home, env: { XDG_CONFIG_HOME: home } }
  return new Promise(resolve => {
    const child = execFile(process.execPath, [ENTRY, ...args], options, (error, out, err) => {
      resolve({ code: error ? Number(error.code) : 0, out, err })
    })
    child.stdin!.end(input)
  })
}

async function json<T>(args: string[]): Promise<T> {
  const ran = await galley([...args, '--json'])
  expect(ran).toMatchObject({ code: 0, err: '' })
  return JSON.parse(ran.out) as T
}

test('from login to the bill: publish, predict, a job of a thousand rows, usage', async () => {
  const { url, key } = await product()
  expect((await galley(['whoami'])).code).toBe(3)
  const login = await galley(['login', '--url', url], `${key}\n`)
  expect(login).toMatchObject({ code: 0, err: '' })

  const version = await json<{ version: number; state: string }>([
    'models',
    'publish',
    MODEL,
    GRAPH,
    '--alias',
    'champion',
  ])
  expect(version).toMatchObject({ version: 1, state: 'ready', aliases: ['champion'] })

  const reply = await json<{ outputs: { name: string; shape: number[]; data: unknown[] }[] }>([
    'predict',
    `${MODEL}@champion`,
    FLOWER.join(','),
  ])
  expect(reply.outputs.find(({ name }) => name === 'species')?.data).toEqual(['setosa'])
  const shown = await galley(['predict', MODEL, `measurements=[${FLOWER}]`, '--outputs', 'species'])
  expect(shown.out).toContain('setosa')

  const rows = Array.from({ length: ROWS }, () => JSON.stringify({ measurements: FLOWER }))
  await writeFile(join(home, 'rows.jsonl'), `${rows.join('\n')}\n`)
  const job = await json<{ id: string; state: string }>([
    'jobs',
    'create',
    MODEL,
    'rows.jsonl',
    '--output',
    'scored.jsonl',
  ])
  expect(job).toMatchObject({ state: 'done', rows_total: ROWS, rows_done: ROWS, rows_failed: 0 })
  const scored = (await readFile(join(home, 'scored.jsonl'), 'utf8')).trimEnd().split('\n')
  expect(scored).toHaveLength(ROWS)
  expect((await galley(['jobs', 'results', job.id])).out).toBe(`${scored.join('\n')}\n`)

  // Receipts of online work are shipped a moment later.
  await expect.poll(() => rowsOf(MODEL), { timeout: 30_000 }).toBe(ROWS + 2)
})

test('keys made on the command line may do what their scopes say', async () => {
  const { url, key } = await product()
  await galley(['login', '--url', url], `${key}\n`)
  const made = await json<{ id: string; key: string }>([
    'keys',
    'create',
    'cli-e2e',
    '--scopes',
    'models:read',
    '--tag',
    'team=tests',
  ])
  const limited = ['--url', url, '--key', made.key]
  expect((await galley(['models', 'list', ...limited])).code).toBe(0)
  expect((await galley(['jobs', 'list', ...limited])).code).toBe(3)
  const next = await json<{ key: string }>(['keys', 'rotate', made.id, '--overlap', '0s'])
  expect((await galley(['models', 'list', '--url', url, '--key', next.key])).code).toBe(0)
  await json(['keys', 'revoke', made.id])
  expect((await galley(['models', 'list', ...limited])).code).toBe(3)
})

test('what does not exist, and what is no model, end with their exit codes', async () => {
  const { url, key } = await product()
  await galley(['login', '--url', url], `${key}\n`)
  expect((await galley(['models', 'show', 'nothing-of-that-name'])).code).toBe(4)
  await writeFile(join(home, 'broken.onnx'), 'no graph at all')
  const ran = await galley(['models', 'publish', 'broken', 'broken.onnx'])
  expect(ran.code).toBe(1)
  expect(ran.err).toContain('galley: ')
})

async function rowsOf(model: string): Promise<number | undefined> {
  const { data } = await json<{ data: { group: { model: string }; rows: number }[] }>([
    'usage',
    '--group-by',
    'model',
  ])
  return data.find(({ group }) => group.model === model)?.rows
}
