/** The password of the application's role: it opens the database, and no statement ever holds it. */
import { createHash, createHmac } from 'node:crypto'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { migrate } from '#platform/db/migrate.ts'
import { connectionOf, openDatabase } from '#platform/db/postgres.ts'
import { isVerifierOf } from '#platform/db/verifier.ts'
import { newId } from '#schemas/ids.ts'
import { type CloudDatabase, startDatabase } from './database.ts'

/** Every printable character, so that none is quoted or prepared wrongly. */
const PRINTABLE = String.fromCharCode(...Array.from({ length: 95 }, (_, at) => 0x20 + at))
const folder = mkdtempSync(join(tmpdir(), 'galley-password-'))
const logPath = join(folder, 'server.log')
const output = openSync(logPath, 'a')
let server: CloudDatabase

beforeAll(async () => {
  server = await startDatabase({ output, settings: { log_statement: 'all' } })
})
afterAll(async () => {
  await server.stop()
  closeSync(output)
  rmSync(folder, { recursive: true, force: true })
})

const give = (appPassword: string, adminUrl = server.adminUrl) => migrate({ adminUrl, appPassword })

async function opens(password: string): Promise<unknown> {
  const url = new URL(server.url)
  url.password = encodeURIComponent(password)
  const client = new pg.Client(connectionOf(url.href))
  try {
    await client.connect()
    return (await client.query('select current_user as role')).rows[0]
  } finally {
    await client.end().catch(() => {})
  }
}

/** As the owner, by the server's socket. */
async function asOwner(statement: string) {
  const client = new pg.Client(server.admin)
  await client.connect()
  try {
    return (await client.query(statement)).rows
  } finally {
    await client.end()
  }
}
const kept = async () =>
  (await asOwner(`select rolpassword from pg_authid where rolname = 'galley_app'`))[0].rolpassword

test('the password opens the database, another does not, and the log of all statements has neither', async () => {
  for (const password of ['open sesame of this test', PRINTABLE]) {
    await give(password)
    expect(await opens(password)).toEqual({ role: 'galley_app' })
    await expect(opens(`${password}!`)).rejects.toThrow('password authentication failed')
  }
  const logged = readFileSync(logPath, 'utf8')
  expect(logged).toContain('alter role galley_app password')
  expect(logged).not.toContain('open sesame')
  expect(logged).not.toContain(PRINTABLE.slice(0, 20))
})

test('a password that the role has already is not written again, and another one is', async () => {
  await give('first')
  const first = await kept()
  await give('first')
  expect(await kept()).toBe(first)
  await give('second')
  expect(await kept()).not.toBe(first)
  await expect(opens('first')).rejects.toThrow('password authentication failed')
})

test('an owner who may not see what the role has gives it its password all the same', async () => {
  await asOwner(`create role owner_of_rds login createrole;
    grant galley_app to owner_of_rds with admin option;
    grant create on database ${server.admin.database} to owner_of_rds;
    grant all on schema drizzle to owner_of_rds;
    grant all on all tables in schema drizzle to owner_of_rds`)
  const url = new URL(server.adminUrl)
  url.username = 'owner_of_rds'
  await give('of an owner', url.href)
  expect(await opens('of an owner')).toEqual({ role: 'galley_app' })
})

test('a password that is changed under who goes on costs no transaction: it asks for the one of now', async () => {
  const urlWith = (password: string) => {
    const url = new URL(server.url)
    url.password = encodeURIComponent(password)
    return url.href
  }
  await give('before')
  let known = 'before'
  let asked = 0
  const db = openDatabase({
    url: urlWith(known),
    log: { info() {}, error() {} },
    async renewUrl() {
      asked++
      return urlWith(known)
    },
  })
  const one = () =>
    db.tenant(newId('tenant'), async tx => {
      const { rows } = await tx.execute<{ role: string }>(sql`select current_user as role`)
      return rows[0]!.role
    })
  /** What each of several at once was told, when all of them have been. */
  const told = async () => {
    const all = await Promise.allSettled(Array.from({ length: 8 }, one))
    const words = all.map(of => (of.status === 'fulfilled' ? of.value : String(of.reason)))
    return [...new Set(words)]
  }
  try {
    expect(await told()).toEqual(['galley_app'])
    await give('after')
    await asOwner(`select pg_terminate_backend(pid) from pg_stat_activity
      where usename = 'galley_app'`)
    // Not yet known there either: told as it is, and not asked for ever.
    expect(await told()).toEqual(['error: password authentication failed for user "galley_app"'])
    expect(asked).toBeGreaterThan(0)
    known = 'after'
    expect(await told()).toEqual(['galley_app'])
    const until = asked
    await told()
    expect(asked).toBe(until)
  } finally {
    await db.close()
  }
})

test('a password that clients would prepare each in its own way is refused, and changes nothing', async () => {
  await give('stays')
  for (const wrong of ['', 'pässword', 'pass\u00a0word', 'pass\nword', '\u2168'])
    await expect(give(wrong)).rejects.toMatchObject({ code: 'invalid_request' })
  expect(await opens('stays')).toEqual({ role: 'galley_app' })
})

test("a verifier is the one that RFC 7677's example of an exchange proves", async () => {
  const stored = Buffer.from('WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=', 'base64')
  const server = Buffer.from('wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=', 'base64')
  const salt = 'W22ZaJ0SNY7soEsUEjb6gQ=='
  const kept = `SCRAM-SHA-256$4096:${salt}$${stored.toString('base64')}:${server.toString('base64')}`
  expect(await isVerifierOf(kept, 'pencil')).toBe(true)
  expect(await isVerifierOf(kept, 'pencils')).toBe(false)
  // What the example's client sent and its server answered belongs to these two keys.
  const nonce = 'rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0'
  const messages = `n=user,r=rOprNGfwEbeRWgbNEkqO,r=${nonce},s=${salt},i=4096,c=biws,r=${nonce}`
  const signed = (key: Buffer) => createHmac('sha256', key).update(messages).digest()
  expect(signed(server).toString('base64')).toBe('6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=')
  const proof = Buffer.from('dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=', 'base64')
  const clientKey = proof.map((byte, at) => byte ^ signed(stored)[at]!)
  expect(createHash('sha256').update(clientKey).digest()).toEqual(stored)
})
