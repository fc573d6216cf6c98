/** One real PostgreSQL for the whole test run, with one migrated template that each file copies. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import type { TestProject } from 'vitest/node'
import { SUPERUSER, socketFolder } from '#local/postgres/address.ts'
import { startPostgres } from '#local/postgres.ts'
import { migrate } from '#platform/db/migrate.ts'
import { connectionOf } from '#platform/db/postgres.ts'

export const TEMPLATE = 'galley_template'
const APP_PASSWORD = 'app-password-of-tests'

declare module 'vitest' {
  interface ProvidedContext {
    /** As the owner of the server; `DATABASE` stands for the name. */
    adminUrl: string
    appUrl: string
  }
}

export default async function setup(project: TestProject) {
  const dataFolder = mkdtempSync(join(tmpdir(), 'galley-test-db-'))
  const log = { info() {}, error() {} }
  const server = await startPostgres({ dataFolder, log })
  const host = encodeURIComponent(socketFolder(dataFolder))
  const adminUrl = `postgres://${SUPERUSER}@localhost/DATABASE?host=${host}`
  const admin = new pg.Client(connectionOf(adminUrl.replace('DATABASE', 'postgres')))
  await admin.connect()
  await admin.query(`create database ${TEMPLATE}`)
  await admin.end()
  await migrate({ adminUrl: adminUrl.replace('DATABASE', TEMPLATE), appPassword: APP_PASSWORD })
  project.provide('adminUrl', adminUrl)
  project.provide('appUrl', `postgres://galley_app:${APP_PASSWORD}@localhost/DATABASE?host=${host}`)
  return async () => {
    await server.stop()
    rmSync(dataFolder, { recursive: true, force: true })
  }
}
