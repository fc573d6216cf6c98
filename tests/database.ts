/** A database of its own for a test file: copied from the migrated template, dropped at the end. */
import pg from 'pg'
import { afterAll, inject } from 'vitest'
import { connectionOf, type OpenDatabase, openDatabase } from '#platform/db/postgres.ts'
import { TEMPLATE } from './database-server.ts'

export type TestDatabase = {
  db: OpenDatabase
  /** As the application's role. */
  url: string
  /** As the owner of everything, past row-level security. */
  admin: pg.Pool
}

let made = 0

export async function testDatabase(): Promise<TestDatabase> {
  const name = `test_${process.pid}_${made++}`
  const server = new pg.Client(connectionOf(inject('adminUrl').replace('DATABASE', 'postgres')))
  await server.connect()
  await server.query(`create database ${name} template ${TEMPLATE}`)
  const url = inject('appUrl').replace('DATABASE', name)
  const log = { info() {}, error() {} }
  const db = openDatabase({ url, log })
  const admin = new pg.Pool({
    ...connectionOf(inject('adminUrl').replace('DATABASE', name)),
    max: 4,
  })
  admin.on('error', () => {})
  afterAll(async () => {
    await db.close()
    await admin.end()
    await server.query(`drop database ${name} with (force)`)
    await server.end()
  })
  return { db, url, admin }
}
