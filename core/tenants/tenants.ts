/** Tenants. The front of this folder: keys, audit and API key text are reached from here. */
import { asc, eq, gt, sql } from 'drizzle-orm'
import type { Call } from '#core/caller.ts'
import type { Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { cursorOf, type Page, type PageQuery, pageOf, textPosition } from '#core/page.ts'
import { isId, type KeyId, newId, type TenantId } from '#schemas/ids.ts'
import { SCOPES, type Scope } from '#schemas/route.ts'
import { apiKeys, tenants } from '#schemas/tables/tenants.ts'
import * as audit from './audit.ts'
import * as keys from './keys.ts'

export { mint, publicIdOf } from './api-key.ts'
export { audit, keys }

/** What the operator's keys alone may do: make tenants, and see what all of them do. */
const OPERATOR_SCOPES: readonly Scope[] = ['tenants:write', 'metrics:read']
/** What the first key of a tenant may do. */
export const TENANT_SCOPES = SCOPES.filter(scope => !OPERATOR_SCOPES.includes(scope))

export type ShownTenant = ReturnType<typeof shown>

/** Creates a tenant below the caller's, and its first key. */
export async function create(
  unit: Unit,
  call: Call,
  input: { name: string; plan: string },
): Promise<{ tenant: ShownTenant; key: keys.IssuedKey }> {
  const tenant = await insert(unit, { ...input, parentId: call.caller.tenantId })
  await audit.record(unit, call, {
    action: 'tenants.create',
    target: tenant.id,
    detail: { name: input.name, plan: input.plan },
  })
  const key = await asTenant(unit, tenant.id as TenantId, call.caller.tenantId, () =>
    keys.insert(unit, tenant.id as TenantId, {
      name: 'first key',
      scopes: TENANT_SCOPES,
      project: null,
      tags: {},
      expiresAt: null,
    }),
  )
  return { tenant, key }
}

/** What `npm start` decides before it asks, so that asking again after a crash makes nothing twice. */
export type First = {
  tenantId: TenantId
  keyId: KeyId
  name: string
  publicId: string
  hash: string
}

/** Creates the operator's own tenant, which no other created, with a key that may do everything. */
export async function createFirst(unit: Unit, first: First): Promise<void> {
  const createdAt = new Date(unit.clock.now())
  await bind(unit, first.tenantId)
  await unit.tx
    .insert(tenants)
    .values({ id: first.tenantId, parentId: null, name: first.name, createdAt })
    .onConflictDoNothing()
  await unit.tx
    .insert(apiKeys)
    .values({
      id: first.keyId,
      tenantId: first.tenantId,
      publicId: first.publicId,
      hash: first.hash,
      name: 'operator',
      scopes: [...SCOPES],
      createdAt,
    })
    .onConflictDoNothing()
}

export async function list(unit: Unit, query: PageQuery): Promise<Page<ShownTenant>> {
  const after = textPosition('tenants', query.cursor) as TenantId | null
  const rows = await unit.tx
    .select()
    .from(tenants)
    .where(after ? gt(tenants.id, after) : undefined)
    .orderBy(asc(tenants.id))
    .limit(query.limit + 1)
  return pageOf(rows, query, row => cursorOf('tenants', row.id), shown)
}

export async function get(unit: Unit, input: { tenant_id: string }): Promise<ShownTenant> {
  const id = input.tenant_id
  const [row] = isId('tenant', id)
    ? await unit.tx.select().from(tenants).where(eq(tenants.id, id))
    : []
  if (!row) throw new AppError('not_found', { public: 'There is no tenant with this id.' })
  return shown(row)
}

/** For this tenant or one that it created. Throws `not_found`. */
export async function limit(
  unit: Unit,
  call: Call,
  input: { tenant_id: string; runners: number | null },
): Promise<ShownTenant> {
  const { id } = await get(unit, input)
  const [row] = await unit.tx
    .update(tenants)
    .set({ runnersMax: input.runners })
    .where(eq(tenants.id, id))
    .returning()
  await audit.record(unit, call, {
    action: 'tenants.limit',
    target: id,
    detail: { runners: input.runners },
  })
  return shown(row!)
}

async function insert(
  unit: Unit,
  values: { name: string; plan: string; parentId: TenantId | null },
): Promise<ShownTenant> {
  const [row] = await unit.tx
    .insert(tenants)
    .values({
      id: newId('tenant', unit.clock.now()),
      createdAt: new Date(unit.clock.now()),
      ...values,
    })
    .returning()
  return shown(row!)
}

async function asTenant<T>(unit: Unit, child: TenantId, self: TenantId, work: () => Promise<T>) {
  await bind(unit, child)
  const result = await work()
  await bind(unit, self)
  return result
}

async function bind(unit: Unit, tenantId: TenantId): Promise<void> {
  await unit.tx.execute(sql`select set_config('galley.tenant', ${tenantId}, true)`)
}

function shown(row: typeof tenants.$inferSelect) {
  return {
    id: row.id,
    name: row.name,
    plan: row.plan,
    limits: { runners: row.runnersMax },
    created_at: row.createdAt.toISOString(),
  }
}
