/** API keys: what their text promises, who may issue what, and when one stops working. */
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { sha256Hex } from '#core/internal/signing.ts'
import * as tenants from '#core/tenants/tenants.ts'
import type { TenantId } from '#schemas/ids.ts'
import { SCOPES, type Scope } from '#schemas/route.ts'
import { callOf, handClock, inTenant, newTenant } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'

const { keys, mint, publicIdOf } = tenants
const { db, admin } = await testDatabase()
const clock = handClock()
let tenantId: TenantId
beforeAll(async () => {
  tenantId = (await newTenant(db)).tenantId
})

const BODY = { name: 'a key', scopes: ['infer'] as Scope[], tags: {} }
const create = (input: Partial<Parameters<typeof keys.create>[2]> = {}, call = callOf(tenantId)) =>
  inTenant({ db, clock }, tenantId, unit => keys.create(unit, call, { ...BODY, ...input }))
const rotate = (key_id: string, overlap_s: number, call = callOf(tenantId)) =>
  inTenant({ db, clock }, tenantId, unit => keys.rotate(unit, call, { key_id, overlap_s }))
const revoke = (key_id: string) =>
  inTenant({ db, clock }, tenantId, unit => keys.revoke(unit, callOf(tenantId), { key_id }))
const lookUp = (key: string) =>
  db.system(tx => keys.lookUp({ tx, clock }, publicIdOf(key) ?? 'none'))

describe('the text of a key', () => {
  const CHARS = [...'0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-. é']

  test('any single wrong character is noticed before a look-up', async () => {
    const { key, publicId } = await mint()
    expect(publicIdOf(key)).toBe(publicId)
    for (let at = 0; at < key.length; at++) {
      for (const char of CHARS) {
        if (char === key[at]) continue
        expect(publicIdOf(key.slice(0, at) + char + key.slice(at + 1))).toBeNull()
      }
    }
  })

  test('two neighbours swapped, a character lost or one too many are noticed', async () => {
    const { key } = await mint('test')
    fc.assert(
      fc.property(fc.nat(key.length - 2), fc.constantFrom(...CHARS), (at, char) => {
        const swapped = key.slice(0, at) + key[at + 1] + key[at] + key.slice(at + 2)
        if (swapped !== key) expect(publicIdOf(swapped)).toBeNull()
        expect(publicIdOf(key.slice(0, at) + key.slice(at + 1))).toBeNull()
        expect(publicIdOf(key.slice(0, at) + char + key.slice(at))).toBeNull()
      }),
      { numRuns: 300 },
    )
  })

  test('anything at all may be presented as a key', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 200 }), text => {
        expect(publicIdOf(text)).toBeNull()
      }),
    )
  })

  test('no two keys share a public id or a secret, and each character of the alphabet comes about as often', async () => {
    const minted = await Promise.all(Array.from({ length: 500 }, () => mint()))
    expect(new Set(minted.map(one => one.publicId)).size).toBe(500)
    const counts = new Map<string, number>()
    for (const { key } of minted)
      for (const char of key.split('_')[3]!) counts.set(char, (counts.get(char) ?? 0) + 1)
    expect(counts.size).toBe(62)
    const mean = (500 * 32) / 62
    for (const count of counts.values())
      expect(Math.abs(count - mean)).toBeLessThan(8 * Math.sqrt(mean))
  })
})

test('only the SHA-256 of a key is stored', async () => {
  const { key, id } = await create()
  const { rows } = await admin.query(
    'select row_to_json(k)::text as text, hash from api_keys k where id = $1',
    [id],
  )
  expect(rows[0].hash).toBe(await sha256Hex(key))
  expect(rows[0].text).not.toContain(key.split('_')[3])
})

test('a key never gives a scope that its own holder lacks, by creating or by rotating', async () => {
  const held = fc.subarray([...SCOPES], { minLength: 1 })
  await fc.assert(
    fc.asyncProperty(held, held, async (own, wanted) => {
      const call = callOf(tenantId, { scopes: own })
      const outgrows = wanted.some(scope => !own.includes(scope))
      const strong = await create({ scopes: wanted })
      const tries = [create({ scopes: wanted }, call), rotate(strong.id, 60, call)]
      for (const outcome of await Promise.allSettled(tries)) {
        if (!outgrows) expect(outcome.status).toBe('fulfilled')
        else expect(outcome).toMatchObject({ reason: { code: 'insufficient_scope' } })
      }
    }),
    { numRuns: 30 },
  )
})

test('after a rotation both keys work until the overlap ends, then the new one alone', async () => {
  const old = await create({ project: 'p', tags: { team: 'red' } })
  const successor = await rotate(old.id, 60)
  const expiry = clock.now() + 60_000
  expect(await lookUp(old.key)).toMatchObject({ expiresAt: expiry, revoked: false })
  const found = await lookUp(successor.key)
  expect(found).toMatchObject({ expiresAt: null, revoked: false })
  expect(found?.caller).toMatchObject({ project: 'p', tags: { team: 'red' }, scopes: ['infer'] })
  expect(successor).toMatchObject({ rotated_from: old.id, name: 'a key' })
})

test('an overlap never lets a key live longer than it would have', async () => {
  const expires_at = new Date(clock.now() + 30_000).toISOString()
  const old = await create({ expires_at })
  const successor = await rotate(old.id, 3600)
  expect((await lookUp(old.key))?.expiresAt).toBe(Date.parse(expires_at))
  expect(successor.expires_at).toBe(expires_at)
})

test('a key has one successor, even of two rotations at once, and is told by name to whoever asks for another', async () => {
  const old = await create()
  const outcomes = await Promise.allSettled([rotate(old.id, 60), rotate(old.id, 60)])
  const successors = outcomes.flatMap(one => (one.status === 'fulfilled' ? [one.value] : []))
  expect(successors).toHaveLength(1)
  await expect(rotate(old.id, 60)).rejects.toMatchObject({
    code: 'conflict',
    public: expect.stringContaining(successors[0]!.id),
  })
  expect((await rotate(successors[0]!.id, 60)).expires_at).toBeNull()
})

test('keys that have expired make room for new ones', async () => {
  const { tenantId: other } = await newTenant(db)
  await admin.query(
    `insert into api_keys (id, tenant_id, public_id, hash, name, scopes, expires_at)
     select 'key_' || n, $1, 'crowd' || n, 'h', 'n', '{infer}', $2 from generate_series(1, 999) n`,
    [other, new Date(clock.now() + 1000)],
  )
  const createOne = () =>
    inTenant({ db, clock }, other, unit => keys.create(unit, callOf(other), BODY))
  await expect(createOne()).rejects.toMatchObject({ code: 'conflict' })
  clock.forward(1001)
  expect(await createOne()).toMatchObject({ name: 'a key' })
})

test('an expired or revoked key cannot be rotated back to life', async () => {
  const expired = await create({ expires_at: new Date(clock.now() + 1000).toISOString() })
  clock.forward(1001)
  await expect(rotate(expired.id, 60)).rejects.toMatchObject({ code: 'conflict' })
  const revoked = await create()
  await revoke(revoked.id)
  await expect(rotate(revoked.id, 60)).rejects.toMatchObject({ code: 'conflict' })
})

test('a revocation is final, repeats without effect, and stands in the list that edges read', async () => {
  const before = clock.now() - 1
  const { id, key } = await create()
  const first = await revoke(id)
  clock.forward(5000)
  expect((await revoke(id)).revoked_at).toBe(first.revoked_at)
  expect(await lookUp(key)).toMatchObject({ revoked: true })
  const since = (ms: number) => db.system(tx => keys.revokedSince({ tx, clock }, ms))
  expect(await since(before)).toContain(publicIdOf(key))
  expect(await since(clock.now())).not.toContain(publicIdOf(key))
})

test('an expiry in the past is refused with the field that is wrong', async () => {
  const creating = create({ expires_at: new Date(clock.now()).toISOString() })
  await expect(creating).rejects.toMatchObject({
    code: 'invalid_body',
    errors: [{ pointer: '/expires_at' }],
  })
})

test('a foreign key cannot be shown, rotated or revoked: it is not there', async () => {
  const { tenantId: other } = await newTenant(db)
  const { id } = await create()
  const tries = [
    inTenant({ db }, other, unit => keys.get(unit, { key_id: id })),
    inTenant({ db }, other, unit => keys.rotate(unit, callOf(other), { key_id: id, overlap_s: 0 })),
    inTenant({ db }, other, unit => keys.revoke(unit, callOf(other), { key_id: id })),
    inTenant({ db }, other, unit => keys.get(unit, { key_id: "x' or true --" })),
  ]
  for (const outcome of await Promise.allSettled(tries)) {
    expect(outcome).toMatchObject({
      reason: { code: 'not_found', public: 'There is no key with this id.' },
    })
  }
  expect(await lookUp((await create()).key)).toMatchObject({ revoked: false })
})
