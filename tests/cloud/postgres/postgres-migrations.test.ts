/** Migrations beside a product that goes on: by two at once, again, and while others hold a table. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { migrate } from '#platform/db/migrate.ts'
import { type CloudDatabase, startDatabase } from './database.ts'

const OURS = fileURLToPath(new URL('../../../schemas/migrations', import.meta.url))
let server: CloudDatabase
let admin: pg.Pool
const folders: string[] = []

beforeAll(async () => {
  server = await startDatabase()
  admin = new pg.Pool({ ...server.admin, max: 4 })
  // The server may end while they say goodbye.
  admin.on('error', () => {})
  admin.on('connect', client => client.on('error', () => {}))
})
afterAll(async () => {
  await admin.end()
  await server.stop()
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** The migrations of a later version: ours, and one more. */
function laterVersion(tag: string, statement: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'galley-migrations-'))
  folders.push(folder)
  cpSync(OURS, folder, { recursive: true })
  const path = join(folder, 'meta', '_journal.json')
  const journal = JSON.parse(readFileSync(path, 'utf8'))
  const last = journal.entries.at(-1)
  journal.entries.push({ ...last, idx: last.idx + 1, when: Date.now() + folders.length, tag })
  writeFileSync(path, JSON.stringify(journal))
  writeFileSync(join(folder, `${tag}.sql`), statement)
  return folder
}

const start = (migrationsFolder: string, giveUpMs?: number) =>
  migrate({ adminUrl: server.adminUrl, appPassword: 'of the test', migrationsFolder, giveUpMs })

test('two at once apply each migration once, and again there is nothing to do', async () => {
  const folder = laterVersion(
    '9000_once',
    'create table once (id int); insert into once values (1);',
  )
  const both = await Promise.all([start(folder), start(folder), start(folder)])
  expect(both.map(({ applied }) => applied).sort()).toEqual([0, 0, 1])
  expect(await start(folder)).toEqual({ applied: 0, newest: '9000_once' })
  expect((await admin.query('select count(*)::int as n from once')).rows).toEqual([{ n: 1 }])
})

test('who reads on is not held up for longer than a moment, and the migration comes through at last', async () => {
  const folder = laterVersion('9001_wide', 'alter table once add column wide int;')
  const holder = await admin.connect()
  await holder.query('begin; select * from once')
  const migrated = start(folder)
  // It waits for the holder, and whoever reads now waits behind it, until it gives up.
  const waiting = `select count(*)::int as n from pg_locks
    where not granted and relation = 'once'::regclass`
  while ((await admin.query(waiting)).rows[0].n === 0) await pause(10)
  await admin.query('select * from once')
  expect((await holder.query('select count(*)::int as n from once')).rows).toEqual([{ n: 1 }])
  await holder.query('commit')
  holder.release()
  expect(await migrated).toEqual({ applied: 1, newest: '9001_wide' })
})

test('what is kept from its table for too long is told so, and has changed nothing', async () => {
  const statements = 'create table half (id int);\n--> statement-breakpoint\ndrop table once;'
  const folder = laterVersion('9002_half', statements)
  const holder = await admin.connect()
  await holder.query('begin; select * from once')
  await expect(start(folder, 0)).rejects.toMatchObject({ code: 'unavailable', retryable: true })
  await holder.query('commit')
  holder.release()
  const left = await admin.query(`select to_regclass('half') as half, to_regclass('once') as once`)
  expect(left.rows).toEqual([{ half: null, once: 'once' }])
})

test('a migration that fails in the middle leaves nothing, and says which statement', async () => {
  const folder = laterVersion('9003_wrong', 'create table half (id int); select nonsense;')
  await expect(start(folder)).rejects.toThrow('nonsense')
  expect((await admin.query(`select to_regclass('half') as half`)).rows).toEqual([{ half: null }])
})
