import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { temporaryFolder, until } from './local/process.ts'

const LAUNCHER = fileURLToPath(new URL('../../local/launch.mjs', import.meta.url))
const { inspect } = await load('installed.mjs')
const { alone } = await load('alone.mjs')
const { runAll } = await load('run.mjs')
const { runsOf } = await load('commands.mjs')

describe('what is installed', () => {
  let root: string
  const wanted = {
    '': {},
    'node_modules/hono': { version: '4.0.0' },
    'node_modules/vitest': { version: '5.0.0', dev: true },
    'node_modules/other-platform': { version: '1.0.0', optional: true },
  }
  const production = { 'node_modules/hono': { version: '4.0.0' } }
  const all = { ...production, 'node_modules/vitest': { version: '5.0.0', dev: true } }

  beforeEach(() => {
    root = temporaryFolder()
    write('package-lock.json', { packages: wanted })
  })

  test('a killed installation, which has no record, is not taken for a whole one', () => {
    install(production)
    rmSync(join(root, 'node_modules/.package-lock.json'))
    expect(inspect(root, { dev: false }).usable).toBe(false)
  })

  test('development dependencies satisfy a start, and are known to be there', () => {
    install(all)
    expect(inspect(root, { dev: false })).toMatchObject({ usable: true, hasDev: true })
  })

  test('a start needs no development dependencies, a test does', () => {
    install(production)
    expect(inspect(root, { dev: false })).toMatchObject({ usable: true, hasDev: false })
    expect(inspect(root, { dev: true }).reason).toBe('vitest is missing, not 5.0.0')
  })

  test('another version than the lock asks for is stale', () => {
    install({ 'node_modules/hono': { version: '3.9.0' } })
    expect(inspect(root, { dev: false }).reason).toBe('hono is 3.9.0, not 4.0.0')
  })

  test('a package that was removed by hand is missed', () => {
    install(production)
    rmSync(join(root, 'node_modules/hono'), { recursive: true })
    expect(inspect(root, { dev: false }).reason).toBe('hono is gone')
  })

  function install(packages: Record<string, unknown>) {
    for (const path of Object.keys(packages)) write(join(path, 'package.json'), {})
    write('node_modules/.package-lock.json', { packages })
  }

  function write(path: string, value: unknown) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), JSON.stringify(value))
  }
})

test('two launchers in one folder install one after the other', async () => {
  const root = temporaryFolder()
  const order: string[] = []
  const work = (name: string) => async () => {
    order.push(`${name} begins`)
    await new Promise(resolve => setTimeout(resolve, 50))
    order.push(`${name} ends`)
  }
  await Promise.all([alone(root, work('a')), alone(root, work('b')), alone(root, work('c'))])
  const names = order.map(line => line[0])
  expect(order.filter((_, i) => i % 2 === 0).every(line => line.endsWith('begins'))).toBe(true)
  expect(names.filter((_, i) => i % 2 === 0)).toEqual(names.filter((_, i) => i % 2 === 1))
})

test('the end-to-end tests run on both edges, and a failure on one does not hide the other', async () => {
  const runs = runsOf('e2e', ['--bail=1'])
  expect(runs.map((run: { env: { GALLEY_EDGE: string } }) => run.env.GALLEY_EDGE)).toEqual([
    'node',
    'workerd',
  ])
  const root = temporaryFolder()
  writeFileSync(join(root, 'first.mjs'), 'process.exit(3)')
  mkdirSync(join(root, 'local'))
  writeFileSync(join(root, 'local/quick-imports.mjs'), '')
  writeFileSync(join(root, 'second.mjs'), "import fs from 'node:fs'; fs.writeFileSync('ran', '')")
  const entries = ['first.mjs', 'second.mjs'].map(entry => ({ entry, args: [] }))
  expect(await runAll(root, process.execPath, entries)).toBe(3)
  rmSync(join(root, 'ran'))
})

test('the flags of an end-to-end run say what it runs on, and the rest is for Vitest', () => {
  const [run] = runsOf('e2e', ['--edge', 'workerd', '--queue=sqs', '--blob', 's3', 'tour'])
  const env = { GALLEY_EDGE: 'workerd', GALLEY_E2E_QUEUE: 'sqs', GALLEY_E2E_BLOB: 's3' }
  expect(run.env).toEqual(env)
  expect(run.args.slice(-2)).toEqual(['vitest.e2e.config.ts', 'tour'])
  expect(() => runsOf('e2e', ['--queue', 'kafka'])).toThrow('--queue is postgres or sqs')
})

test('an unknown command is answered with those that exist', () => {
  const { status, stderr } = spawnSync(process.execPath, [LAUNCHER, 'serve'], { encoding: 'utf8' })
  expect(status).toBe(1)
  expect(stderr).toMatch(/^Usage: npm run <start \| test \|/)
})

test('a launcher that is killed takes the start with it', async () => {
  const data = temporaryFolder()
  const args = [LAUNCHER, 'start', '--data', data, '--port', '0', '--bare']
  const launcher = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] })
  onTestFinished(() => void launcher.kill('SIGKILL'))
  let said = ''
  launcher.stdout.on('data', chunk => {
    said += chunk
  })
  await until(() => said.includes('ready in'))
  const url = /http:\S+/.exec(said)![0]
  launcher.kill('SIGKILL')
  let answers = true
  while (answers)
    answers = await fetch(url).then(
      () => true,
      () => false,
    )
})

/** The launcher is plain JavaScript without declarations. */
function load(name: string) {
  return import(new URL(`../../local/install/${name}`, import.meta.url).href)
}
