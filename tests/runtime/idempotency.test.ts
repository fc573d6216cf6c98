/** Idempotency-Key: one creation per key, whatever is retried, and no secret at rest. */
import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import { toBase64Url } from '#core/internal/signing.ts'
import * as tenants from '#core/tenants/tenants.ts'
import { forget, keyOf, once } from '#functions/idempotency.ts'
import type { TenantId } from '#schemas/ids.ts'
import type { Scope } from '#schemas/route.ts'
import { callOf, inTenant, newTenant } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'

const { db, admin } = await testDatabase()
const SEAL = toBase64Url(new Uint8Array(32).fill(7))
const OTHER_SEAL = toBase64Url(new Uint8Array(32).fill(8))
let tenantId: TenantId
let serial = 0
beforeAll(async () => {
  tenantId = (await newTenant(db)).tenantId
})

type Asked = { key: string; fingerprint?: string; seal?: string; of?: TenantId; route?: string }
/** Creates an API key under an Idempotency-Key, as the control API does. */
function create({
  key,
  fingerprint = 'POST /v1/keys abc',
  seal = SEAL,
  of = tenantId,
  route = 'keys.create',
}: Asked) {
  return inTenant({ db }, of, unit =>
    once(unit, { tenantId: of, route, key, fingerprint, seal }, () =>
      tenants.keys.create(unit, callOf(of), {
        name: `made ${key}`,
        scopes: ['infer'] as Scope[],
        tags: {},
      }),
    ),
  )
}
const made = async (key: string) =>
  (await admin.query('select id from api_keys where name = $1', [`made ${key}`])).rows.length
const codeOf = (outcome: PromiseSettledResult<unknown>) =>
  outcome.status === 'rejected' ? outcome.reason.code : 'created'

test('many requests at once under one key create one thing; the others get its reply or are told to wait', async () => {
  for (let round = 0; round < 5; round++) {
    const key = `at once ${round}`
    const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => create({ key })))
    const codes = outcomes.map(codeOf)
    expect(codes).toContain('created')
    expect(new Set(codes).difference(new Set(['created', 'idempotency_in_flight']))).toEqual(
      new Set(),
    )
    const replies = outcomes.flatMap(one => (one.status === 'fulfilled' ? [one.value] : []))
    expect(replies.filter(one => !one.replayed)).toHaveLength(1)
    expect(new Set(replies.map(one => JSON.stringify(one.reply))).size).toBe(1)
    expect(await made(key)).toBe(1)
  }
})

test('a retry gets the very reply of the first request, the secret in it included', async () => {
  const first = await create({ key: 'again' })
  const second = await create({ key: 'again' })
  expect(first.replayed).toBe(false)
  expect(second.replayed).toBe(true)
  expect(second.reply).toEqual(first.reply)
})

test('another body under the same key is refused, and creates nothing', async () => {
  await create({ key: 'other body' })
  const other = create({ key: 'other body', fingerprint: 'POST /v1/keys def' })
  await expect(other).rejects.toMatchObject({ code: 'idempotency_mismatch', status: 422 })
  expect(await made('other body')).toBe(1)
})

test('work that fails leaves no record: the key is free for the retry', async () => {
  const attempt = { tenantId, route: 'r', key: 'fails', fingerprint: 'f' }
  const failing = inTenant({ db }, tenantId, unit =>
    once(unit, attempt, () => Promise.reject(new Error('no'))),
  )
  await expect(failing).rejects.toThrow('no')
  const second = await inTenant({ db }, tenantId, unit =>
    once(unit, attempt, async () => ({ ok: 1 })),
  )
  expect(second).toEqual({ reply: { ok: 1 }, replayed: false })
})

test('a process that dies before the commit leaves neither the thing nor the record', async () => {
  const key = 'dies'
  const dying = inTenant({ db }, tenantId, async unit => {
    await once(unit, { tenantId, route: 'keys.create', key, fingerprint: 'f', seal: SEAL }, () =>
      tenants.keys.create(unit, callOf(tenantId), {
        name: `made ${key}`,
        scopes: ['infer'],
        tags: {},
      }),
    )
    throw new Error('died')
  })
  await expect(dying).rejects.toThrow('died')
  expect(await made(key)).toBe(0)
  expect((await create({ key })).replayed).toBe(false)
  expect(await made(key)).toBe(1)
})

test('tenants and routes do not share keys', async () => {
  const { tenantId: other } = await newTenant(db)
  await create({ key: 'shared' })
  expect((await create({ key: 'shared', of: other })).replayed).toBe(false)
  expect((await create({ key: 'shared', route: 'keys.rotate' })).replayed).toBe(false)
})

test('a reply with a secret opens only for the API key that made it', async () => {
  await create({ key: 'sealed' })
  const stolen = create({ key: 'sealed', seal: OTHER_SEAL })
  await expect(stolen).rejects.toMatchObject({ code: 'idempotency_mismatch' })
})

test('a reply is kept for a day, and not for ever', async () => {
  const age = (key: string, hours: number) =>
    admin.query(
      `update idempotency set created_at = now() - $2 * interval '1 hour' where key = $1`,
      [key, hours],
    )
  const first = await create({ key: 'of a day ago' })
  await create({ key: 'of long ago' })
  await age('of a day ago', 24)
  await age('of long ago', 26)
  expect(await forget({ db })).toBe(1)
  expect(await create({ key: 'of a day ago' })).toEqual({ ...first, replayed: true })
  expect((await create({ key: 'of long ago' })).replayed).toBe(false)
})

test('the whole database as text holds no API key', async () => {
  await create({ key: `dump ${serial++}` })
  const { rows: tables } = await admin.query(
    `select schemaname || '.' || tablename as name from pg_tables where schemaname = 'public'`,
  )
  for (const { name } of tables) {
    const { rows } = await admin.query(`select t::text as row from ${name} t`)
    for (const { row } of rows)
      expect([name, row]).not.toEqual([name, expect.stringMatching(/gly_/)])
  }
})

test('the header may be quoted or bare, has 1 to 255 characters, and anything else is refused by name', () => {
  expect(keyOf(null)).toBeNull()
  expect(keyOf('"abc"')).toBe('abc')
  fc.assert(
    fc.property(fc.string({ minLength: 1, maxLength: 300 }), text => {
      const quoted = /^"(.*)"$/.exec(text)?.[1] ?? text
      if (quoted.length > 0 && quoted.length <= 255) expect(keyOf(text)).toBe(quoted)
      else expect(() => keyOf(text)).toThrow('1 to 255')
    }),
  )
})
