/** The log: one line of JSON for each unit of work, and no secret in any of them. */
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import { inFull } from '#core/error.ts'
import { openSigner, placeKey } from '#core/internal/signing.ts'
import { mint } from '#core/tenants/tenants.ts'
import { openLog } from '#platform/log.ts'
import { handClock, newTenant } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'

const folder = mkdtempSync(join(tmpdir(), 'galley-log-'))
afterAll(() => rmSync(folder, { recursive: true }))
let files = 0

function newLog() {
  const path = join(folder, String(files++))
  const log = openLog({ place: 'test', clock: handClock(), fd: openSync(path, 'w') })
  return {
    log,
    lines() {
      log.flush()
      return readFileSync(path, 'utf8').split('\n').slice(0, -1)
    },
  }
}

test('whatever is logged comes out as one line of JSON', () => {
  const { log, lines } = newLog()
  const logged: unknown[] = []
  fc.assert(
    fc.property(
      fc.string(),
      fc.dictionary(fc.stringMatching(/^[a-z]{3,9}$/), fc.string()),
      (event, fields) => {
        log.info(event, { ...fields, at: undefined })
        logged.push(event)
      },
    ),
  )
  const read = lines().map(line => JSON.parse(line))
  expect(read).toHaveLength(logged.length)
  for (const line of read) expect(line).toMatchObject({ level: 'info', place: 'test' })
})

test('a statement that fails is logged without the values that it was asked with', async () => {
  const { db } = await testDatabase()
  const { tenantId } = await newTenant(db)
  const { log, lines } = newLog()
  const asked = db.tenant(tenantId, tx => tx.execute(sql`select ${'anna-4711'}::text, 1 / 0`))
  await asked.catch(error => log.error('failed', { error: inFull(error), text: String(error) }))
  const [line] = lines()
  expect(line).toContain('division by zero')
  expect(line).toContain('select $1::text')
  expect(line).not.toContain('anna-4711')
})

test('no API key, bearer header, internal token or password in a URL ever reaches the log, wherever it stands', async () => {
  const { key } = await mint()
  const signer = await openSigner('edge', await placeKey('s'.repeat(40), 'edge'))
  const token = await signer.sign({ call: null, method: 'GET', path: '/', body: '' }, Date.now())
  const secrets = [key, key.split('_')[3]!, token, 'opaque.jwt.value', 'hunter2']
  const { log, lines } = newLog()
  const texts = [
    key,
    `Authorization: Bearer ${key}`,
    `authorization: bearer opaque.jwt.value`,
    `galley-internal: ${token}`,
    'postgres://galley_app:hunter2@localhost/galley',
  ]
  for (const text of texts) {
    log.info(text, { text, nested: { deep: [text] } })
    log.error('failed', {
      error: `Error: ${text}\n    at nowhere`,
      cause: { message: `"${text}"` },
    })
  }
  const all = lines().join('\n')
  for (const secret of secrets) expect(all).not.toContain(secret)
  expect(all).toContain('[redacted]')
})

test('an error is on its way before the next line of code, so that a crash loses no explanation', () => {
  const { log, lines } = newLog()
  log.info('before')
  log.error('crashed')
  expect(lines().map(line => JSON.parse(line).event)).toEqual(['before', 'crashed'])
})
