/** Row-level security: what the database itself shows and takes, whatever the code above it forgets. */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { connectionOf } from '#platform/db/postgres.ts'
import { newTenant } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'

const { db, admin, url } = await testDatabase()
const app = new pg.Client(connectionOf(url))
afterAll(() => app.end())

/** Tables of the platform itself, which hold no tenant's rows by column. */
const WITHOUT_TENANT = ['queue_messages', 'runners', 'runner_calls', 'capacity_decisions']
/** What `galley_system` may see across tenants, by its policies. */
const OF_SYSTEM = [
  'api_keys',
  'event_batches',
  'event_keys',
  'hook_sources',
  'idempotency',
  'model_versions',
  'outbox',
  'runs',
  'steps',
  'tenants',
]

const SEED: Record<string, string> = {
  uploads: `insert into uploads (tenant_id, id, sha256, size) values ($1, 'upl', 'sha', 1)`,
  files: `insert into files (tenant_id, sha256, size) values ($1, 'sha', 1)`,
  models: `insert into models (tenant_id, name) values ($1, 'm')`,
  model_versions: `insert into model_versions (tenant_id, id, model, number, digest, manifest, state)
    values ($1, 'ver', 'm', 1, 'd', '{}', 'ready')`,
  model_aliases: `insert into model_aliases (tenant_id, model, alias, number) values ($1, 'm', 'a', 1)`,
  model_rollouts: `insert into model_rollouts (tenant_id, id, model, alias, mode, from_version, to_version, percent,
    tolerance, guard, state, report, created_by, created_at)
    values ($1, 'rol', 'm', 'a', 'canary', 1, 2, 5, '{}', '{}', 'running', '{}', 'key', now())`,
  model_switches: `insert into model_switches (tenant_id, id, model, alias, kind, outcome, actor, at)
    values ($1, 'swi', 'm', 'a', 'flip', 'made', 'key', now())`,
  inference_log: `insert into inference_log (tenant_id, id, model, version, digest, at, key_id,
    receipt, rows, inputs, outputs, retention_days)
    values ($1, 'req_1', 'm', 1, 'd', now(), 'key_1', 'rcp_1', 1, '{}', '{}', 7)`,
  inference_segments: `insert into inference_segments (tenant_id, id, model, hour, state, blob, sha256,
    bytes, rows, subject_entities, expires_at, sealed_at)
    values ($1, 'seg_1', 'm', now(), 'sealed', 'b', 's', 1, 1, '{}', now(), now())`,
  model_serving: `insert into model_serving (tenant_id, model) values ($1, 'm')`,
  batch_files: `insert into batch_files (tenant_id, id, state) values ($1, 'fil', 'ready')`,
  runs: `insert into runs (tenant_id, id, kind, state, key_id, spec) values ($1, 'run', 'k', 'queued', 'key', '{}')`,
  steps: `insert into steps (tenant_id, id, run_id, kind, state) values ($1, 'stp', 'run', 'plan', 'queued')`,
  outbox: `insert into outbox (tenant_id, queue, body) values ($1, 'work', '{}')`,
  audit_log: `insert into audit_log (tenant_id, id, at, actor, action, target, request_id)
    values ($1, 'aud', now(), 'key', 'a', 't', 'req')`,
  idempotency: `insert into idempotency (tenant_id, route, key, fingerprint, status, reply)
    values ($1, 'r', 'k', 'f', 'done', '{}')`,
  ledger_heads: `insert into ledger_heads (tenant_id) values ($1)`,
  receipt_contexts: `insert into receipt_contexts
    (tenant_id, key_id, tags, model, version, digest, kind, price_book, fingerprint)
    values ($1, 'key', '{}', 'm', 1, 'd', 'online', 'none', 'f')`,
  event_types: `insert into event_types (tenant_id, type, version, definition) values ($1, 't', 1, '{}')`,
  event_keys: `insert into event_keys (tenant_id, key, body_hash, day)
    values ($1, gen_random_uuid(), gen_random_uuid(), current_date)`,
  events: `insert into events (tenant_id, day, number, key, id, source, type, version, event_time, received_at, data, body_hash)
    values ($1, current_date, 1, gen_random_uuid(), 'i', 's', 't', 1, 0, 0, '{}', gen_random_uuid())`,
  event_positions: `insert into event_positions
    (tenant_id, day, number, key, entity, entity_key, partition, seq, event_time, known_at)
    values ($1, current_date, 1, gen_random_uuid(), 'e', 'k', 0, 1, 0, 0)`,
  event_batches: `insert into event_batches (tenant_id, id, day, keys) values ($1, 'bat', current_date, '{}')`,
  event_retractions: `insert into event_retractions (tenant_id, target, key, day)
    values ($1, gen_random_uuid(), gen_random_uuid(), current_date)`,
  event_rejections: `insert into event_rejections (tenant_id, at, source, id, type, code, detail, key, body_hash)
    values ($1, now(), 's', 'i', 't', 'c', 'd', gen_random_uuid(), gen_random_uuid())`,
  event_seals: `insert into event_seals (tenant_id) values ($1)`,
  event_segments: `insert into event_segments (tenant_id, id, type, version, hour, state, blob, sha256, bytes,
    rows, events, number_from, number_to, watermarks, sealed_at)
    values ($1, 'seg', 't', 1, now(), 'sealed', 'b', 'd', 1, 1, 1, 1, 1, '{}', now())`,
  event_settings: `insert into event_settings (tenant_id) values ($1)`,
  event_erasures: `insert into event_erasures (tenant_id, id, entity, subject_hash, state, erased, created_at)
    values ($1, 'ers', 'e', 'h', 'queued', '{}', now())`,
  event_quality: `insert into event_quality (tenant_id, segment, name, type, hour, kind, ok, at)
    values ($1, 'seg', 'n', 't', now(), 'volume', true, now())`,
  hook_sources: `insert into hook_sources (tenant_id, name, id, definition, secrets, created_at, changed_at)
    values ($1, 'h', $1, '{}', '[]', now(), now())`,
  feature_views: `insert into feature_views (tenant_id, name, version, hash, definition, plan)
    values ($1, 'v', 1, 'h', '{}', '{}')`,
  feature_tables: `insert into feature_tables (tenant_id, name, version, sha256, size, format, type_version, run_id, created_at)
    values ($1, 't', 1, 'd', 1, 'jsonl', 1, 'r', now())`,
  feature_reads: `insert into feature_reads (tenant_id, key_id, view, version, entity, entity_key, at, values, statuses)
    values ($1, 'k', 'v', 1, 'card', 'c', 1, '[]', '[]')`,
  feature_services: `insert into feature_services (tenant_id, name, version, hash, definition, plan)
    values ($1, 's', 1, 'h', '{}', '{}')`,
  decision_endpoints: `insert into decision_endpoints (tenant_id, name, version, hash, definition, plan)
    values ($1, 'd', 1, 'h', '{}', '{}')`,
  decisions: `insert into decisions (tenant_id, event_key, endpoint, endpoint_version, at)
    values ($1, gen_random_uuid(), 'd', 1, 0)`,
  receipts: `insert into receipts (tenant_id, seq, id, context, work, at) values ($1, 1, 'rcp', 1, 'w', now())`,
}

let tables: string[] = []
let mine = ''
let theirs = ''

beforeAll(async () => {
  const { rows } = await admin.query(
    `select tablename as name from pg_tables where schemaname = 'public' order by 1`,
  )
  tables = rows.map(row => row.name).filter(name => !WITHOUT_TENANT.includes(name))
  mine = (await newTenant(db)).tenantId
  theirs = (await newTenant(db)).tenantId
  await admin.query('select galley_event_day(current_date)')
  for (const tenantId of [mine, theirs]) {
    for (const insert of Object.values(SEED)) await admin.query(insert, [tenantId])
  }
  await app.connect()
})

/** Runs as the application's role, bound to a tenant or to none; leaves nothing behind. */
async function as<T>(binding: string | null, work: () => Promise<T>): Promise<T> {
  await app.query('begin')
  try {
    if (binding !== null) await app.query(`select set_config('galley.tenant', $1, true)`, [binding])
    return await work()
  } finally {
    await app.query('rollback')
  }
}

const ownerOf = (table: string) => (table === 'tenants' ? 'id' : 'tenant_id')
const owners = async (table: string): Promise<string[]> =>
  (await app.query(`select ${ownerOf(table)} as owner from ${table}`)).rows.map(row => row.owner)
const tried = (work: Promise<pg.QueryResult>) =>
  work.then(
    result => result.rowCount,
    error => error.code as string,
  )

test('every table that holds a tenant’s rows forces row-level security, and this suite seeds it', async () => {
  const { rows } = await admin.query(
    `select relname as name from pg_class join pg_namespace n on n.oid = relnamespace
     where nspname = 'public' and relkind in ('r', 'p') and not relispartition
       and relrowsecurity and relforcerowsecurity order by 1`,
  )
  expect(rows.map(row => row.name)).toEqual(tables)
  expect([...Object.keys(SEED), 'api_keys', 'tenants'].sort()).toEqual(tables)
})

test('the application’s role is no superuser, bypasses nothing and owns nothing', async () => {
  const { rows } = await admin.query(
    `select rolsuper, rolbypassrls, rolcreaterole,
       (select count(*)::int from pg_class where relowner = r.oid) as owned
     from pg_roles r where rolname in ('galley_app', 'galley_system')`,
  )
  const powerless = { rolsuper: false, rolbypassrls: false, rolcreaterole: false, owned: 0 }
  expect(rows).toEqual([powerless, powerless])
})

describe.each([
  ['no tenant', null],
  ['an empty tenant', ''],
  ['a tenant that never existed', 'ten_nobody'],
])('bound to %s', (_, binding) => {
  test('no row of any table is visible, changeable or removable', async () => {
    for (const table of tables) {
      await as(binding, async () => {
        expect([table, await owners(table)]).toEqual([table, []])
      })
      for (const change of [
        `update ${table} set ${ownerOf(table)} = 'x'`,
        `delete from ${table}`,
      ]) {
        // Nothing to change, or no right to.
        const outcome = await as(binding, () => tried(app.query(change)))
        expect([0, '42501']).toContain(outcome)
      }
    }
  })
})

test('bound to a tenant, its own rows are visible and no other’s', async () => {
  for (const table of tables) {
    await as(mine, async () =>
      expect([table, new Set(await owners(table))]).toEqual([table, new Set([mine])]),
    )
  }
})

test('bound to a tenant, no row can be written, moved or taken over for another', async () => {
  for (const [table, insert] of Object.entries(SEED)) {
    const conflicting = await as(mine, () => tried(app.query(insert, [theirs])))
    expect([table, conflicting]).toEqual([table, '42501'])
    const move = `update ${table} set tenant_id = $1`
    expect(await as(mine, () => tried(app.query(move, [theirs])))).toBe('42501')
  }
  const untouched = await admin.query(
    'select count(*)::int as n from uploads where tenant_id = $1',
    [theirs],
  )
  expect(untouched.rows[0].n).toBe(1)
})

test('the ledger and the audit log only grow: no role of ours may change or remove a row', async () => {
  for (const table of ['receipts', 'receipt_contexts', 'audit_log']) {
    for (const change of [`update ${table} set tenant_id = tenant_id`, `delete from ${table}`]) {
      expect(await as(mine, () => tried(app.query(change)))).toBe('42501')
    }
  }
})

test('the platform’s own role sees across tenants in just the tables that its policies name', async () => {
  await as(null, async () => {
    await app.query('set local role galley_system')
    for (const table of tables) {
      await app.query('savepoint here')
      const outcome = await tried(app.query(`select 1 from ${table}`))
      await app.query('rollback to here')
      if (OF_SYSTEM.includes(table)) expect([table, outcome]).not.toEqual([table, '42501'])
      else expect([table, outcome]).toEqual([table, '42501'])
    }
    expect(new Set(await owners('runs'))).toEqual(new Set([mine, theirs]))
  })
})

test('the platform’s own role creates nothing in any tenant’s tables', async () => {
  for (const [table, insert] of Object.entries(SEED)) {
    const outcome = await as(null, async () => {
      await app.query('set local role galley_system')
      return tried(app.query(insert, [theirs]))
    })
    expect([table, outcome]).toEqual([table, '42501'])
  }
})

test('a tenant set for one transaction is forgotten by the next on the same connection', async () => {
  const reads = Array.from({ length: 40 }, (_, i) => {
    const tenantId = i % 2 ? mine : theirs
    return db.tenant(tenantId as never, async tx => {
      const { rows } = await tx.execute<{ tenant_id: string }>('select tenant_id from uploads')
      return [tenantId, rows.map(row => row.tenant_id)]
    })
  })
  for (const [tenantId, seen] of await Promise.all(reads)) expect(seen).toEqual([tenantId])
  const { rows } = await db.pool.query('select count(*)::int as n from uploads')
  expect(rows[0].n).toBe(0)
})
