/** Tenants, their API keys, and the append-only log of who changed what. */
import { sql } from 'drizzle-orm'
import { index, integer, jsonb, pgTable, primaryKey, text, timestamp } from 'drizzle-orm/pg-core'
import type { AuditId, KeyId, TenantId } from '#schemas/ids.ts'

const at = (name: string) => timestamp(name, { withTimezone: true })

export const tenants = pgTable('tenants', {
  id: text('id').$type<TenantId>().primaryKey(),
  /** The tenant that created this one and may see it; the operator's own tenant has none. */
  parentId: text('parent_id').$type<TenantId>(),
  name: text('name').notNull(),
  plan: text('plan').notNull().default('standard'),
  /** Runners of each class that its queued work may call for; null: as many as there may be. */
  runnersMax: integer('runners_max'),
  createdAt: at('created_at').notNull().default(sql`now()`),
})

export const apiKeys = pgTable(
  'api_keys',
  {
    id: text('id').$type<KeyId>().primaryKey(),
    tenantId: text('tenant_id')
      .$type<TenantId>()
      .notNull()
      .references(() => tenants.id),
    /** The part of the key that may be shown; look-ups go by it. */
    publicId: text('public_id').notNull().unique(),
    /** SHA-256 of the whole key, hex. */
    hash: text('hash').notNull(),
    name: text('name').notNull(),
    scopes: text('scopes').array().notNull(),
    project: text('project'),
    tags: jsonb('tags').$type<Record<string, string>>().notNull().default({}),
    createdAt: at('created_at').notNull().default(sql`now()`),
    expiresAt: at('expires_at'),
    revokedAt: at('revoked_at'),
    /** The key that this one replaces. */
    rotatedFrom: text('rotated_from').$type<KeyId>(),
  },
  t => [
    index('api_keys_by_tenant').on(t.tenantId, t.id),
    index('api_keys_revoked').on(t.revokedAt).where(sql`revoked_at is not null`),
  ],
)

export const auditLog = pgTable(
  'audit_log',
  {
    tenantId: text('tenant_id').$type<TenantId>().notNull(),
    id: text('id').$type<AuditId>().notNull(),
    at: at('at').notNull(),
    /** The key that acted. */
    actor: text('actor').$type<KeyId>().notNull(),
    /** The route's name, such as `keys.create`. */
    action: text('action').notNull(),
    /** The id of what was changed. */
    target: text('target').notNull(),
    requestId: text('request_id').notNull(),
    detail: jsonb('detail').$type<Record<string, unknown>>().notNull().default({}),
  },
  t => [primaryKey({ columns: [t.tenantId, t.id] })],
)

/** Stored replies of POSTs that create, so that a retry gets the same answer. */
export const idempotency = pgTable(
  'idempotency',
  {
    tenantId: text('tenant_id').$type<TenantId>().notNull(),
    route: text('route').notNull(),
    key: text('key').notNull(),
    /** SHA-256 over method, path and body. */
    fingerprint: text('fingerprint').notNull(),
    status: text('status').notNull(),
    /** JSON text of the reply; encrypted under the caller's own key where it holds a secret. */
    reply: text('reply').notNull(),
    createdAt: at('created_at').notNull().default(sql`now()`),
  },
  t => [
    primaryKey({ columns: [t.tenantId, t.route, t.key] }),
    index('idempotency_by_age').on(t.createdAt),
  ],
)
