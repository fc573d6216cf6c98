import { execFile, spawn } from 'node:child_process'
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { COMMANDS } from '#sdk/cli/commands/all.ts'
import { folder, galley, KEY, peerOf } from './cli-run.ts'
import { type Peer, problem } from './sdk-peer.ts'

const ENTRY = fileURLToPath(new URL('../../sdk/cli/galley.ts', import.meta.url))
const SELF = {
  tenant: {
    id: 'ten_1',
    name: 'Acme',
    plan: 'standard',
    limits: { runners: null },
    created_at: '2026-11-01T00:00:00.000Z',
  },
  key: { id: 'key_1', name: 'first', scopes: ['infer'], project: null, tags: {}, expires_at: null },
}

describe('the command line', () => {
  test('explains every command with an example that begins as it is typed', async () => {
    const overview = await galley([])
    expect(overview.code).toBe(0)
    for (const command of COMMANDS) {
      expect(overview.out).toContain(`  ${command.words} `)
      const help = await galley([...command.words.split(' '), '--help'])
      expect(help).toMatchObject({ code: 0, err: '' })
      expect(command.examples.length).toBeGreaterThan(0)
      for (const example of command.examples) {
        expect(example).toContain(`galley ${command.words}`)
        expect(help.out).toContain(example)
      }
    }
  })

  test.each([
    [['jbos'], 'There is no command "jbos": is "jobs" meant? "galley --help" lists all.'],
    [
      ['jobs', 'make'],
      '"galley jobs" has no "make"; it has create, list, get, wait, cancel, results.',
    ],
    [['jobs', 'get'], '<id> is missing: galley jobs get <id>'],
    [['jobs', 'get', 'a', 'b'], '"b" is too much: galley jobs get <id>'],
    [['jobs', 'list', '--foo'], 'Unknown option \'--foo\'; see "galley jobs list --help".'],
    [
      ['--json', 'jobs', 'list'],
      'Options come after the command: galley <command> --json jobs list',
    ],
    [['jobs', 'list', '--limit', '0'], '--limit takes a number from 1 up, not "0".'],
    [
      ['jobs', 'create', 'm', 'rows.csv'],
      'Is "rows.csv" JSONL or Parquet? Add --format jsonl, or --format parquet.',
    ],
    [['models', 'delete', 'iris'], 'Which version of "iris"? Write iris@3 or iris@champion.'],
    [['keys', 'create', 'x', '--scopes', 'all,of'], '"all" is no scope'],
    [
      ['keys', 'rotate', 'x', '--overlap', '1w'],
      '--overlap takes a time such as 90s, 15m, 12h or 7d, not "1w".',
    ],
    [['usage', '--from', 'tomorrow'], '--from takes a day or a time'],
    [
      ['usage', '--group-by', 'week'],
      '--group-by takes some of kind, model, key, project, job, day, hour, not "week".',
    ],
  ])('refuses %j with what would be right, and sends nothing', async (args, text) => {
    const peer = await peerOf(() => ({}))
    const ran = await galley(args, { url: peer.url })
    expect(ran).toMatchObject({ code: 2, out: '' })
    expect(ran.err).toContain(`galley: ${text}`)
    expect(peer.asked).toEqual([])
  })

  test.each([
    [400, 'invalid_input', 1],
    [401, 'unauthenticated', 3],
    [403, 'insufficient_scope', 3],
    [404, 'not_found', 4],
    [409, 'conflict', 5],
    [422, 'invalid_model', 1],
    [500, 'internal', 1],
  ])(
    'ends a %i (%s) with exit code %i, one sentence and the request id',
    async (status, code, exit) => {
      const peer = await peerOf(() => problem(status, code, 'It is so.'))
      const ran = await galley(['models', 'show', 'iris', '--json'], { url: peer.url })
      expect(ran).toEqual({ code: exit, out: '', err: 'galley: It is so. [req_1]\n' })
    },
  )

  test('ends with exit code 6 where the limit is used up, or nobody answers', async () => {
    const busy = await peerOf(() => problem(429, 'rate_limited', 'Wait.', { 'retry-after': '90' }))
    expect((await galley(['jobs', 'list'], { url: busy.url })).code).toBe(6)
    await busy.close()
    const gone = await galley(['jobs', 'list'], { url: busy.url })
    expect(gone.code).toBe(6)
    expect(gone.err).toContain(`galley: ${busy.url} could not be reached: ECONNREFUSED.`)
    expect(gone.err).toContain('"npm start"')
  })

  test('says how to begin where a list is empty', async () => {
    const peer = await peerOf(() => ({ json: { data: [], has_more: false, next_cursor: null } }))
    const ran = await galley(['jobs', 'list'], { url: peer.url })
    expect(ran.out).toBe('No jobs yet. Create one with: galley jobs create <model> <file.jsonl>\n')
    const json = await galley(['jobs', 'list', '--json'], { url: peer.url })
    expect(JSON.parse(json.out)).toEqual({ data: [], has_more: false })
  })

  test('lists as many as are wanted, over pages, and says when there are more', async () => {
    const peer = await peerOf(({ path }) => {
      const at = Number(new URL(path, 'http://x').searchParams.get('cursor') ?? 0)
      const data = [0, 1].map(i => ({ ...SELF.tenant, id: `ten_${at + i}` }))
      return { json: { data, has_more: at < 4, next_cursor: at < 4 ? String(at + 2) : null } }
    })
    const some = await galley(['tenants', 'list', '--limit', '3'], { url: peer.url })
    expect(some.out).toContain('ten_2')
    expect(some.out).not.toContain('ten_3')
    expect(some.out).toContain('There are more than 3')
    const all = await galley(['tenants', 'list', '--all', '--json'], { url: peer.url })
    expect(JSON.parse(all.out).data).toHaveLength(6)
    expect(JSON.parse(all.out).has_more).toBe(false)
  })

  test("does nothing to the terminal that a stranger's text says", async () => {
    const tenant = { ...SELF.tenant, name: 'evil\u001b[2J\u202ename\n' }
    const peer = await peerOf(() => ({
      json: { data: [tenant], has_more: false, next_cursor: null },
    }))
    const ran = await galley(['tenants', 'list'], { url: peer.url })
    expect(ran.out).toContain('evil\u{FFFD}[2J\u{FFFD}name\u{FFFD}')
  })
})

describe('the login', () => {
  test('is checked, then stored for the user alone, and used from then on', async () => {
    const peer = await peerOf(({ headers }) =>
      headers.authorization === `Bearer ${KEY}`
        ? { json: SELF }
        : problem(401, 'unauthenticated', 'This API key does not work.'),
    )
    const wrong = await galley(['login', '--url', peer.url], { input: 'nonsense\n' })
    expect(wrong.code).toBe(3)
    expect((await galley(['whoami'])).code).toBe(3)
    const right = await galley(['login', '--url', `${peer.url}/`], { input: `${KEY}\n` })
    expect(right).toMatchObject({ code: 0, err: '' })
    expect(right.out).not.toContain(KEY)
    const path = join(folder, 'config', 'galley', 'profiles.json')
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect(JSON.parse(await readFile(path, 'utf8'))).toEqual({
      default: { url: peer.url, key: KEY },
    })
    const who = await galley(['whoami', '--json'])
    expect(JSON.parse(who.out)).toMatchObject({ from: 'the profile "default"', ...SELF })
  })

  test('of several profiles is chosen by name; an unknown name lists those there are', async () => {
    const peer = await peerOf(() => ({ json: SELF }))
    await galley(['login', '--profile', 'work'], { url: peer.url })
    await galley(['login', '--profile', 'home'], { url: peer.url })
    expect((await galley(['whoami', '--profile', 'home'])).out).toContain('the profile "home"')
    const unknown = await galley(['whoami', '--profile', 'other'])
    expect(unknown.code).toBe(2)
    expect(unknown.err).toContain('known: work, home')
  })

  test('is not needed for a Galley that was started in this folder or above', async () => {
    const peer = await peerOf(() => ({ json: SELF }))
    await mkdir(join(folder, '.galley'))
    await writeFile(
      join(folder, '.galley', 'local.json'),
      JSON.stringify({ url: peer.url, key: KEY }),
    )
    const ran = await galley(['whoami'])
    expect(ran.out).toContain(join('.galley', 'local.json'))
    expect(peer.asked[0]!.headers.authorization).toBe(`Bearer ${KEY}`)
  })

  test('never comes from a folder that names a Galley on another machine', async () => {
    await mkdir(join(folder, '.galley'))
    const text = JSON.stringify({ url: 'https://galley.example.com', key: KEY })
    await writeFile(join(folder, '.galley', 'local.json'), text)
    expect((await galley(['whoami'])).code).toBe(3)
  })

  test('never gives a stored key to another URL than its own', async () => {
    const own = await peerOf(() => ({ json: SELF }))
    const other = await peerOf(() => ({ json: SELF }))
    await galley(['login'], { url: own.url })
    expect((await galley(['whoami', '--url', own.url])).code).toBe(0)
    const ran = await galley(['whoami', '--url', other.url])
    expect(ran.code).toBe(3)
    expect(other.asked).toEqual([])
  })
})

describe('the program', () => {
  const env = (peer: Peer) => ({
    XDG_CONFIG_HOME: folder,
    GALLEY_URL: peer.url,
    GALLEY_KEY: KEY,
  })

  test('reads its environment, and its exit code is the process’s', async () => {
    const peer = await peerOf(({ path }) =>
      path === '/v1/whoami' ? { json: SELF } : problem(404, 'not_found', 'No such job.'),
    )
    const run = promisify(execFile)
    const options = { env: env(peer), cwd: folder }
    const { stdout } = await run(process.execPath, [ENTRY, 'whoami', '--json'], options)
    expect(JSON.parse(stdout)).toMatchObject(SELF)
    const missing = run(process.execPath, [ENTRY, 'jobs', 'get', 'run_1'], options)
    await expect(missing).rejects.toMatchObject({
      code: 4,
      stdout: '',
      stderr: 'galley: No such job. [req_1]\n',
    })
  })

  test('interrupted while it waits, ends with 130 and says that the job goes on', async () => {
    const running = { id: 'run_1', state: 'running', rows_done: 1, rows_total: 2 }
    let interrupt = () => {}
    const peer = await peerOf(() => {
      interrupt()
      return { json: running }
    })
    const child = spawn(process.execPath, [ENTRY, 'jobs', 'wait', 'run_1'], { env: env(peer) })
    interrupt = () => void child.kill('SIGINT')
    let err = ''
    child.stderr.on('data', chunk => {
      err += chunk
    })
    const code = await new Promise(resolve => child.on('close', resolve))
    expect(code).toBe(130)
    expect(err).toBe('The job goes on; wait again with: galley jobs wait run_1\n')
  })
})
