/** Sources of webhooks as they are kept: secrets encrypted and told to nobody, changes one at a time. */
import { beforeEach, expect, test } from 'vitest'
import * as events from '#core/events/events.ts'
import { openVault } from '#core/internal/vault.ts'
import type { HookSourceDefinition } from '#schemas/contracts/hooks.ts'
import type { TenantId } from '#schemas/ids.ts'
import { callOf, handClock, inTenant, newTenant } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'

const { db, admin } = await testDatabase()
const clock = handClock()
const vault = await openVault('a secret of the test alone, long enough')
const deps = { db, clock, vault }
const { hooks } = events
const SECRET = 'a secret that must not be seen'

const TYPE = {
  type: 'payment',
  fields: { card: { type: 'string' as const }, amount: { type: 'int' as const } },
  entities: { card: 'card' },
  online_days: 40,
}
const GIVEN: HookSourceDefinition = {
  scheme: 'github',
  events: { '*': { type: 'payment', fields: { card: '/card' } } },
  tolerance_s: 300,
}
let tenantId: TenantId
const call = () => callOf(tenantId)
const declare = (given: Partial<HookSourceDefinition> = {}, source = 'shop') =>
  hooks.declare(deps, call(), { ...GIVEN, ...given, source })
const opened = async (id: string) => db.system(tx => events.openedSource({ tx, clock }, vault, id))
const idOf = ({ path }: { path: string }) => path.slice('/v1/hooks/'.length)

beforeEach(async () => {
  tenantId = (await newTenant(db)).tenantId
  await inTenant(deps, tenantId, unit => events.declare(unit, call(), TYPE))
})

test('a secret is neither stored nor shown as it is, and stands in no audit log', async () => {
  const source = await declare({ secrets: { first: SECRET } })
  await hooks.addSecret(deps, call(), { source: 'shop', secret_name: 'next', secret: `${SECRET}2` })
  const { rows } = await admin.query(
    `select (select json_agg(h) from hook_sources h)::text as stored,
            (select json_agg(a) from audit_log a)::text as audited`,
  )
  const shown = await inTenant(deps, tenantId, async unit => [
    await hooks.get(unit, { source: 'shop' }),
    await hooks.list(unit, { limit: 10 }),
  ])
  expect(JSON.stringify([source, rows, shown])).not.toContain(SECRET)
  expect(JSON.stringify(shown)).not.toContain('sealed')
  expect((await opened(idOf(source)))?.secrets).toEqual([SECRET, `${SECRET}2`])
})

test('a sealed secret opens in its own place alone, and under its own key alone', async () => {
  const sealed = await vault.seal(SECRET, 'hook a')
  expect(await vault.open(sealed, 'hook a')).toBe(SECRET)
  expect(await vault.seal(SECRET, 'hook a')).not.toBe(sealed)
  const other = await openVault('another secret of another deployment')
  await expect(vault.open(sealed, 'hook b')).rejects.toMatchObject({ code: 'internal' })
  await expect(other.open(sealed, 'hook a')).rejects.toMatchObject({ code: 'internal' })
  await expect(vault.open('v1.x', 'hook a')).rejects.toMatchObject({ code: 'internal' })
})

test('the same declaration changes nothing; another keeps the address, and the secrets that it does not name', async () => {
  const first = await declare({ secrets: { a: 'secret of a' } })
  clock.forward(1_000)
  expect(await declare()).toEqual(first)
  expect(await declare({ secrets: { a: 'secret of a' } })).toEqual(first)
  const changed = await declare({ tolerance_s: 60 })
  expect(changed).toMatchObject({ path: first.path, secrets: first.secrets, tolerance_s: 60 })
  expect(changed.changed_at).not.toBe(first.changed_at)
  await declare({ secrets: { b: 'secret of b' } })
  expect((await opened(idOf(first)))?.secrets).toEqual(['secret of b'])
})

test('secrets follow one another by name; the last one stays', async () => {
  const first = await declare({ secrets: { a: 'secret of a' } })
  const add = (secret_name: string, secret: string) =>
    hooks.addSecret(deps, call(), { source: 'shop', secret_name, secret })
  const remove = (secret_name: string) =>
    hooks.removeSecret(deps, call(), { source: 'shop', secret_name })
  const both = await add('b', 'secret of b')
  expect(await add('b', 'secret of b')).toEqual(both)
  expect((await opened(idOf(first)))?.secrets).toEqual(['secret of a', 'secret of b'])
  expect((await remove('a')).secrets.map(({ name }) => name)).toEqual(['b'])
  await expect(remove('a')).rejects.toMatchObject({ code: 'not_found' })
  await expect(remove('b')).rejects.toMatchObject({ code: 'conflict' })
  for (const name of ['c', 'd', 'e', 'f']) await add(name, `secret of ${name}`)
  await expect(add('g', 'secret of g')).rejects.toMatchObject({ code: 'invalid_definition' })
})

test('a source that could take nothing is refused, with where and why', async () => {
  const secrets = { a: 'secret of a' }
  const cases: [Partial<HookSourceDefinition>, string][] = [
    [{}, '/secrets'],
    [{ secrets: {} }, '/secrets'],
    [{ secrets, events: { 'a/b': { type: 'refund' } } }, '/events/a~1b/type'],
    [{ secrets, events: { '*': { type: 'payment', fields: { shop: '/x' } } } }, '/events/*/fields'],
  ]
  for (const [given, pointer] of cases) {
    await expect(declare(given)).rejects.toMatchObject({
      code: 'invalid_definition',
      errors: [{ pointer }],
    })
  }
  const plain = { scheme: 'standard-webhooks' as const, secrets: { a: 'of no form' } }
  await expect(declare(plain)).rejects.toMatchObject({ code: 'invalid_body' })
  await declare({ secrets })
  await expect(declare({ scheme: 'stripe' })).rejects.toMatchObject({ code: 'invalid_definition' })
})

test('an address is of one source of one tenant, and of nobody once that is removed', async () => {
  const mine = await declare({ secrets: { a: 'secret of a' } })
  const first = tenantId
  tenantId = (await newTenant(db)).tenantId
  await inTenant(deps, tenantId, unit => events.declare(unit, call(), TYPE))
  const theirs = await declare({ secrets: { a: 'secret of b' } })
  expect(theirs.path).not.toBe(mine.path)
  expect((await opened(idOf(mine)))?.caller.tenantId).toBe(first)
  await inTenant(deps, tenantId, unit => hooks.remove(unit, call(), { source: 'shop' }))
  expect(await opened(idOf(theirs))).toBe(null)
  expect(await opened(idOf(mine))).not.toBe(null)
  const gone = inTenant(deps, tenantId, unit => hooks.get(unit, { source: 'shop' }))
  await expect(gone).rejects.toMatchObject({ code: 'not_found' })
})

test('of two that declare at once one is the first, and both are answered', async () => {
  const both = await Promise.all([1, 2].map(() => declare({ secrets: { a: 'secret of a' } })))
  expect(both[0]).toEqual(both[1])
})
