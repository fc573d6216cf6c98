/** Tenants below tenants, and the log of who changed what. */
import { expect, test } from 'vitest'
import * as tenants from '#core/tenants/tenants.ts'
import type { TenantId } from '#schemas/ids.ts'
import { callOf, inTenant, newTenant } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'

const { db, admin } = await testDatabase()

const create = (parent: TenantId, name: string) =>
  inTenant({ db }, parent, unit => tenants.create(unit, callOf(parent), { name, plan: 'standard' }))
const namesOf = async (tenantId: TenantId) =>
  (await inTenant({ db }, tenantId, unit => tenants.list(unit, { limit: 100 }))).data.map(
    t => t.name,
  )

test('a tenant sees itself and those that it made, and nobody above or beside it', async () => {
  const { tenantId: parent } = await newTenant(db)
  const left = await create(parent, 'left')
  const right = await create(parent, 'right')
  await create(left.tenant.id as TenantId, 'below left')
  expect(await namesOf(parent)).toEqual(['test', 'left', 'right'])
  expect(await namesOf(left.tenant.id as TenantId)).toEqual(['left', 'below left'])
  expect(await namesOf(right.tenant.id as TenantId)).toEqual(['right'])
})

test('the first key of a tenant belongs to that tenant and may not make further tenants', async () => {
  const { tenantId: parent } = await newTenant(db)
  const { tenant, key } = await create(parent, 'child')
  const publicId = tenants.publicIdOf(key.key)!
  const found = await db.system(tx =>
    tenants.keys.lookUp({ tx, clock: { now: Date.now } }, publicId),
  )
  expect(found?.caller.tenantId).toBe(tenant.id)
  expect(found?.caller.scopes).not.toContain('tenants:write')
})

test('how many runners its work may call for is said by who made a tenant, and by nobody beside it', async () => {
  const { tenantId: parent } = await newTenant(db)
  const { tenantId: stranger } = await newTenant(db)
  const { tenant } = await create(parent, 'child')
  expect(tenant.limits).toEqual({ runners: null })
  const limitAs = (who: TenantId, runners: number | null) =>
    inTenant({ db }, who, unit =>
      tenants.limit(unit, callOf(who), { tenant_id: tenant.id, runners }),
    )
  expect(await limitAs(parent, 4)).toMatchObject({ id: tenant.id, limits: { runners: 4 } })
  await expect(limitAs(stranger, 9)).rejects.toMatchObject({ code: 'not_found' })
  const audit = await inTenant({ db }, parent, unit => tenants.audit.list(unit, { limit: 1 }))
  expect(audit.data).toMatchObject([
    { action: 'tenants.limit', target: tenant.id, detail: { runners: 4 } },
  ])
  expect(await limitAs(parent, null)).toMatchObject({ limits: { runners: null } })
})

test('what npm start asks for twice is made once', async () => {
  const first = {
    tenantId: 'ten_first' as TenantId,
    keyId: 'key_first' as never,
    name: 'local',
    publicId: 'p',
    hash: 'h',
  }
  for (let turn = 0; turn < 2; turn++) {
    await inTenant({ db }, first.tenantId, unit => tenants.createFirst(unit, first))
  }
  const { rows } = await admin.query(
    `select (select count(*)::int from tenants where id = 'ten_first') as tenants,
       (select count(*)::int from api_keys where id = 'key_first') as keys`,
  )
  expect(rows).toEqual([{ tenants: 1, keys: 1 }])
})

test('a change and its line in the audit log stand or fall together', async () => {
  const { tenantId } = await newTenant(db)
  const auditOf = async () =>
    (await inTenant({ db }, tenantId, unit => tenants.audit.list(unit, { limit: 100 }))).data
  await expect(
    inTenant({ db }, tenantId, async unit => {
      await tenants.create(unit, callOf(tenantId), { name: 'never', plan: 'standard' })
      throw new Error('died before the commit')
    }),
  ).rejects.toThrow('died')
  expect(await auditOf()).toEqual([])
  const call = callOf(tenantId)
  const made = await inTenant({ db }, tenantId, unit =>
    tenants.create(unit, call, { name: 'ever', plan: 'standard' }),
  )
  expect(await auditOf()).toMatchObject([
    {
      action: 'tenants.create',
      target: made.tenant.id,
      actor: call.caller.keyId,
      request_id: call.requestId,
    },
  ])
})

test('a listing read page by page shows each tenant once, whatever the size of a page', async () => {
  const { tenantId } = await newTenant(db)
  for (let i = 0; i < 7; i++) await create(tenantId, `child ${i}`)
  for (const limit of [1, 3, 8, 100]) {
    const seen: string[] = []
    for (let cursor: string | undefined; ; ) {
      const page = await inTenant({ db }, tenantId, unit => tenants.list(unit, { limit, cursor }))
      seen.push(...page.data.map(tenant => tenant.id))
      expect(page.has_more).toBe(page.next_cursor !== null)
      if (!page.next_cursor) break
      cursor = page.next_cursor
    }
    expect(new Set(seen).size).toBe(8)
    expect(seen).toHaveLength(8)
  }
})

test('a cursor of another listing, or none at all, is refused', async () => {
  const { tenantId } = await newTenant(db)
  for (const cursor of ['nonsense', '%%%', btoa('["keys","key_1"]'), btoa('["tenants",{}]')]) {
    const reading = inTenant({ db }, tenantId, unit => tenants.list(unit, { limit: 1, cursor }))
    await expect(reading).rejects.toMatchObject({ code: 'invalid_cursor' })
  }
})
