/** What the migrated database must say of every table: whose rows it holds, and who guards them. */
import type pg from 'pg'

const APP = 'galley_app'

/** Tables without a tenant column, each with the reason. The list may only get shorter. */
const NO_TENANT: Record<string, string> = {
  tenants: 'a row is a tenant, guarded by a policy on its own id',
  runner_calls: 'which classes of machines were asked for in vain, whoever asked',
  capacity_decisions: "how many machines the platform wanted, which are nobody's",
  runners: "a machine of the platform, which is nobody's and which publishing names",
  queue_messages: 'a message names its tenant inside; only queue drivers read it',
}

/** Tables in which the platform's own hand may cross tenants. The list may only get shorter. */
const CROSSED = [
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

type Row = {
  name: string
  tenant: boolean
  enabled: boolean
  forced: boolean
  guarded: boolean
  crossed: boolean
}

const TABLES = `
  select c.relname as name,
    exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id'
      and a.attnotnull and not a.attisdropped) as tenant,
    c.relrowsecurity as enabled,
    c.relforcerowsecurity as forced,
    exists (select from pg_policies p where p.tablename = c.relname and '${APP}' = any (p.roles)
      and p.qual like '%galley.tenant%' and p.with_check like '%galley.tenant%')
    and not exists (select from pg_policies p where p.tablename = c.relname
      and p.roles && array['${APP}', 'public']::name[] and p.qual not like '%galley.tenant%') as guarded,
    exists (select from pg_policies p where p.tablename = c.relname
      and not '${APP}' = any (p.roles)) as crossed
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p') and n.nspname = 'public' order by 1`

/** What is wrong with the tables, a sentence each. */
export async function tableFaults(db: Pick<pg.Client, 'query'>): Promise<string[]> {
  const { rows } = await db.query<Row>(TABLES)
  return rows.flatMap(row => {
    const { name } = row
    const own = name in NO_TENANT
    if (own && name !== 'tenants') return []
    return [
      !row.tenant && !own && `${name} has no tenant_id that is not null`,
      !row.enabled && `${name} has no row-level security`,
      !row.forced && `${name} does not force row-level security on its owner`,
      !row.guarded && `${name} has no policy that binds ${APP} to its tenant, or a wider one`,
      row.crossed && !CROSSED.includes(name) && `${name} may be read across tenants`,
    ].filter(says => says !== false)
  })
}

const ROLES = `
  select r.rolname as name, r.rolsuper or r.rolbypassrls or r.rolcreaterole or r.rolreplication as strong,
    (select count(*)::int from pg_class c where c.relowner = r.oid) as owned
  from pg_roles r where r.rolname like 'galley\\_%' order by 1`

/** What is wrong with the roles that the application works under. */
export async function roleFaults(db: Pick<pg.Client, 'query'>): Promise<string[]> {
  const { rows } = await db.query<{ name: string; strong: boolean; owned: number }>(ROLES)
  if (!rows.some(({ name }) => name === APP)) return [`there is no role ${APP}`]
  return rows.flatMap(({ name, strong, owned }) => [
    ...(strong ? [`${name} may pass row-level security`] : []),
    ...(owned > 0 ? [`${name} owns ${owned} tables, whose guards it could take away`] : []),
  ])
}
