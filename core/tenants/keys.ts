/** API keys: issued once, rotated with overlap, revoked for good. Only hashes are stored. */
import { and, asc, eq, gt, isNull, or } from 'drizzle-orm'
import type { Call, Caller } from '#core/caller.ts'
import type { Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { cursorOf, type Page, type PageQuery, pageOf, textPosition } from '#core/page.ts'
import { isId, type KeyId, newId, type TenantId } from '#schemas/ids.ts'
import type { Scope } from '#schemas/route.ts'
import { apiKeys } from '#schemas/tables/tenants.ts'
import * as apiKey from './api-key.ts'
import * as audit from './audit.ts'

export { lookUp, revokedSince } from './key-lookup.ts'

/** So many keys that work at once are a leak or a mistake, not a need. */
export const KEYS_PER_TENANT_MAX = 1000

export type KeyInput = {
  name: string
  scopes: Scope[]
  project?: string
  tags: Record<string, string>
  expires_at?: string
}
export type ShownKey = ReturnType<typeof shown>
export type IssuedKey = ShownKey & { key: string }

/** Issues a key. Throws `insufficient_scope` if it could do more than the caller may. */
export async function create(unit: Unit, call: Call, input: KeyInput): Promise<IssuedKey> {
  refuseEscalation(call.caller, input.scopes)
  await refuseTooMany(unit)
  const expiresAt = input.expires_at ? new Date(input.expires_at) : null
  if (expiresAt && expiresAt.getTime() <= unit.clock.now()) {
    throw new AppError('invalid_body', {
      public: 'expires_at is in the past.',
      errors: [{ pointer: '/expires_at', detail: 'must be in the future' }],
    })
  }
  const issued = await insert(unit, call.caller.tenantId, {
    name: input.name,
    scopes: input.scopes,
    project: input.project ?? null,
    tags: input.tags,
    expiresAt,
  })
  await audit.record(unit, call, {
    action: 'keys.create',
    target: issued.id,
    detail: { name: input.name, scopes: input.scopes },
  })
  return issued
}

/**
 * Issues a successor with the same rights; the old key ends after the overlap, never later than it
 * would. A key has one successor: another would inherit the end of the overlap as its own.
 */
export async function rotate(
  unit: Unit,
  call: Call,
  input: { key_id: string; overlap_s: number },
): Promise<IssuedKey> {
  const old = await find(unit, input.key_id, true)
  refuseEscalation(call.caller, old.scopes as Scope[])
  if (old.revokedAt || (old.expiresAt && old.expiresAt.getTime() <= unit.clock.now())) {
    throw new AppError('conflict', {
      public: 'This key no longer works; create a new one instead.',
    })
  }
  await refuseRotated(unit, old.id)
  await refuseTooMany(unit)
  const issued = await insert(unit, call.caller.tenantId, {
    name: old.name,
    scopes: old.scopes,
    project: old.project,
    tags: old.tags,
    expiresAt: old.expiresAt,
    rotatedFrom: old.id,
  })
  const end = unit.clock.now() + input.overlap_s * 1000
  const expiresAt = new Date(Math.min(end, old.expiresAt?.getTime() ?? end))
  await unit.tx.update(apiKeys).set({ expiresAt }).where(eq(apiKeys.id, old.id))
  await audit.record(unit, call, {
    action: 'keys.rotate',
    target: old.id,
    detail: { successor: issued.id, overlap_s: input.overlap_s },
  })
  return issued
}

/** Revokes a key; revoking it again changes nothing. */
export async function revoke(unit: Unit, call: Call, input: { key_id: string }): Promise<ShownKey> {
  const key = await find(unit, input.key_id, true)
  if (key.revokedAt) return shown(key)
  const revokedAt = new Date(unit.clock.now())
  await unit.tx.update(apiKeys).set({ revokedAt }).where(eq(apiKeys.id, key.id))
  await audit.record(unit, call, { action: 'keys.revoke', target: key.id })
  return shown({ ...key, revokedAt })
}

export async function get(unit: Unit, input: { key_id: string }): Promise<ShownKey> {
  return shown(await find(unit, input.key_id))
}

export async function list(unit: Unit, query: PageQuery): Promise<Page<ShownKey>> {
  const after = textPosition('keys', query.cursor) as KeyId | null
  const rows = await unit.tx
    .select()
    .from(apiKeys)
    .where(after ? gt(apiKeys.id, after) : undefined)
    .orderBy(asc(apiKeys.id))
    .limit(query.limit + 1)
  return pageOf(rows, query, row => cursorOf('keys', row.id), shown)
}

/** Stores a new key of the transaction's tenant and shows it this once. */
export async function insert(
  unit: Unit,
  tenantId: TenantId,
  values: {
    name: string
    scopes: string[]
    project: string | null
    tags: Record<string, string>
    expiresAt: Date | null
    rotatedFrom?: KeyId
  },
): Promise<IssuedKey> {
  const minted = await apiKey.mint()
  const [row] = await unit.tx
    .insert(apiKeys)
    .values({
      ...values,
      tenantId,
      id: newId('key', unit.clock.now()),
      publicId: minted.publicId,
      hash: minted.hash,
      createdAt: new Date(unit.clock.now()),
    })
    .returning()
  return { ...shown(row!), key: minted.key }
}

async function find(unit: Unit, id: string, lock = false) {
  const query = unit.tx
    .select()
    .from(apiKeys)
    .where(eq(apiKeys.id, id as KeyId))
  const [row] = isId('key', id) ? await (lock ? query.for('update') : query) : []
  if (!row) throw new AppError('not_found', { public: 'There is no key with this id.' })
  return row
}

function refuseEscalation(caller: Caller, wanted: Scope[]): void {
  const more = wanted.filter(scope => !caller.scopes.includes(scope))
  if (more.length === 0) return
  throw new AppError('insufficient_scope', {
    public: `A key cannot give scopes that it lacks itself: ${more.join(', ')}.`,
  })
}

async function refuseRotated(unit: Unit, id: KeyId): Promise<void> {
  const [successor] = await unit.tx.select().from(apiKeys).where(eq(apiKeys.rotatedFrom, id))
  if (!successor) return
  throw new AppError('conflict', {
    public: `This key was rotated already: rotate its successor ${successor.id}, or create a new key.`,
  })
}

async function refuseTooMany(unit: Unit): Promise<void> {
  const now = new Date(unit.clock.now())
  const lasts = or(isNull(apiKeys.expiresAt), gt(apiKeys.expiresAt, now))
  const count = await unit.tx.$count(apiKeys, and(isNull(apiKeys.revokedAt), lasts))
  if (count < KEYS_PER_TENANT_MAX) return
  throw new AppError('conflict', {
    public: `This tenant has ${count} keys that work, the most it may; revoke some first.`,
  })
}

function shown(row: typeof apiKeys.$inferSelect) {
  return {
    id: row.id,
    public_id: row.publicId,
    name: row.name,
    scopes: row.scopes,
    project: row.project,
    tags: row.tags,
    created_at: row.createdAt.toISOString(),
    expires_at: row.expiresAt?.toISOString() ?? null,
    revoked_at: row.revokedAt?.toISOString() ?? null,
    rotated_from: row.rotatedFrom,
  }
}
