import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { startPostgres } from '#local/postgres.ts'
import { isAlive, startProgram, temporaryFolder, until } from './local/process.ts'

const WRITERS = 8
const log = { info: () => {}, error: () => {} }

test('kill -9 of the server under writers loses no acknowledged row', async () => {
  const dataFolder = temporaryFolder()
  let server = await started(dataFolder)
  await query(dataFolder, 'create table rows (id int primary key)')
  const acknowledged: number[] = []
  for (let round = 0; round < 3; round++) {
    const writers = Array.from({ length: WRITERS }, (_, i) => write(dataFolder, i, acknowledged))
    const before = acknowledged.length
    await until(() => acknowledged.length > before + 200)
    process.kill(server.pid, 'SIGKILL')
    await Promise.all(writers)
    server = await started(dataFolder)
  }
  const found = new Set((await query(dataFolder, 'select id from rows')).map(({ id }) => id))
  expect(acknowledged.filter(id => !found.has(id))).toEqual([])
})

test('a pid file that names a stranger keeps nobody out', async () => {
  const dataFolder = temporaryFolder()
  const server = await started(dataFolder)
  process.kill(server.pid, 'SIGKILL')
  await server.exited
  const lines = `${process.pid}\n/proc/self/cwd\n1\n5432\n.\n\n\nready   \n`
  writeFileSync(join(dataFolder, 'postgres/postmaster.pid'), lines)
  writeFileSync(join(dataFolder, 'postgres/.s.PGSQL.5432.lock'), lines)
  await started(dataFolder)
  expect(await query(dataFolder, 'select 1 as one')).toEqual([{ one: 1 }])
})

test('the server ends with its parent, and another start at once gets the cluster', async () => {
  const dataFolder = temporaryFolder()
  const parent = startProgram('postgres.ts', dataFolder)
  const { pid } = await parent.said()
  parent.child.kill('SIGKILL')
  await started(dataFolder)
  expect(isAlive(pid!)).toBe(false)
  expect(await query(dataFolder, 'select 1 as one')).toEqual([{ one: 1 }])
})

test('a set-up that was killed at any moment is begun anew', async () => {
  const dataFolder = temporaryFolder()
  for (const stage of ['postgres.new', 'global', 'PG_VERSION', 'postmaster.opts']) {
    const parent = startProgram('postgres.ts', dataFolder)
    await until(() => hasReached(dataFolder, stage) || parent.child.exitCode !== null)
    parent.child.kill('SIGKILL')
    await parent.ended
  }
  await started(dataFolder)
  expect(await query(dataFolder, 'select 1 as one')).toEqual([{ one: 1 }])
})

test('a data folder whose path is longer than a socket address works', async () => {
  const dataFolder = join(temporaryFolder(), 'x'.repeat(120))
  mkdirSync(dataFolder, { mode: 0o700 })
  const said = await startProgram('postgres.ts', dataFolder).said()
  expect(said).toMatchObject({ database: 'galley', host: '/proc/self/cwd/postgres' })
})

async function started(dataFolder: string) {
  const server = await startPostgres({ dataFolder, log })
  onTestFinished(() => server.stop(0))
  return server
}

async function query(dataFolder: string, text: string) {
  const client = new pg.Client({
    host: `${dataFolder}/postgres`,
    user: 'galley',
    database: 'galley',
  })
  await client.connect()
  try {
    return (await client.query(text)).rows
  } finally {
    await client.end()
  }
}

/** Inserts until the server goes away; what it acknowledged is noted after it did. */
async function write(dataFolder: string, writer: number, acknowledged: number[]): Promise<void> {
  const client = new pg.Client({
    host: `${dataFolder}/postgres`,
    user: 'galley',
    database: 'galley',
  })
  client.on('error', () => {})
  try {
    await client.connect()
    for (;;) {
      const id = acknowledged.length * WRITERS * 10 + writer + Math.floor(Math.random() * 1e9)
      const { rowCount } = await client.query(
        'insert into rows values ($1) on conflict do nothing',
        [id],
      )
      if (rowCount === 1) acknowledged.push(id)
    }
  } catch {
    await client.end().catch(() => {})
  }
}

function hasReached(dataFolder: string, stage: string): boolean {
  const names = readdirSync(dataFolder)
  if (names.includes(stage) || names.includes('postgres')) return true
  try {
    return readdirSync(join(dataFolder, 'postgres.new')).includes(stage)
  } catch {
    return false
  }
}
