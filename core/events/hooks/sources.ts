/** Sources of signed webhooks: declared, listed, removed; their secrets come in and never go out again. */
import { asc, eq, gt, sql } from 'drizzle-orm'
import type { Call } from '#core/caller.ts'
import type { Clock, Database, Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { Vault } from '#core/internal/vault.ts'
import { cursorOf, type PageQuery, pageOf, textPosition } from '#core/page.ts'
import { audit } from '#core/tenants/tenants.ts'
import { HOOK_SECRETS_MAX, type HookSourceDefinition } from '#schemas/contracts/hooks.ts'
import type { HookScheme, HookSource } from '#schemas/hook.ts'
import { newId } from '#schemas/ids.ts'
import { hookSources, type StoredSecret } from '#schemas/tables/hooks.ts'
import { newestType, sortedDeep } from '../declare.ts'
import { openedSecrets, placeOf } from './secrets.ts'
import { keyOf } from './signature.ts'

export type HookDeps = { db: Database; clock: Clock; vault: Vault }
type Row = typeof hookSources.$inferSelect
type Named = { source: string }

/** So many sources are a mistake, not a need. */
const SOURCES_MAX = 200

/** The source as it is now. Throws `invalid_definition`, `invalid_body` for a secret, `conflict`. */
export async function declare(
  deps: HookDeps,
  call: Call,
  { source: name, secrets, ...definition }: HookSourceDefinition & Named,
) {
  return change(deps, call, name, async (unit, found) => {
    const next: HookSource = { name, ...definition }
    await mustFitContracts(unit, next)
    if (!found && !secrets) throw wrongAt('/secrets', 'A new source needs a secret.')
    if (found && !secrets && found.definition.scheme !== next.scheme) {
      throw wrongAt('/secrets', `Another scheme has other secrets: give those of ${next.scheme}.`)
    }
    const at = new Date(unit.clock.now())
    const row = found ?? { ...(await fresh(unit, call, name)), definition: next, secrets: [] }
    if (found && isSame(found.definition, next) && (await hasJust(deps, found, secrets))) {
      return found
    }
    const sealed = secrets && (await sealedAll(deps, row, next.scheme, secrets))
    const detail = { scheme: next.scheme, secrets: Object.keys(secrets ?? {}) }
    await audit.record(unit, call, { action: 'hooks.declare', target: name, detail })
    return store(unit, { ...row, definition: next, secrets: sealed ?? row.secrets, changedAt: at })
  })
}

/** One more secret, beside the others. Throws `conflict` when there are too many. */
export async function addSecret(
  deps: HookDeps,
  call: Call,
  { source, secret_name: secretName, secret }: Named & { secret_name: string; secret: string },
) {
  return change(deps, call, source, async (unit, found) => {
    const row = existing(found, source)
    const kept = row.secrets.filter(each => each.name !== secretName)
    const opened = await openedSecrets(deps.vault, row)
    if (opened[secretName] === secret) return row
    const added = await sealedAll(deps, row, row.definition.scheme, { [secretName]: secret })
    if (kept.length >= HOOK_SECRETS_MAX) throw tooMany()
    const detail = { secret: secretName }
    await audit.record(unit, call, { action: 'hooks.add_secret', target: source, detail })
    return store(unit, {
      ...row,
      secrets: [...kept, ...added],
      changedAt: new Date(unit.clock.now()),
    })
  })
}

/** Throws `conflict` for the last one: a source that believes nobody is removed instead. */
export async function removeSecret(
  deps: HookDeps,
  call: Call,
  { source, secret_name: secretName }: Named & { secret_name: string },
) {
  return change(deps, call, source, async (unit, found) => {
    const row = existing(found, source)
    const secrets = row.secrets.filter(({ name }) => name !== secretName)
    if (secrets.length === row.secrets.length) {
      const known = row.secrets.map(({ name }) => name).join(', ')
      const says = `"${source}" has no secret "${secretName}"; it has ${known}.`
      throw new AppError('not_found', { public: says })
    }
    if (secrets.length === 0) {
      const says = `This is the last secret of "${source}": add another first, or remove the source.`
      throw new AppError('conflict', { public: says })
    }
    const detail = { secret: secretName }
    await audit.record(unit, call, { action: 'hooks.remove_secret', target: source, detail })
    return store(unit, { ...row, secrets, changedAt: new Date(unit.clock.now()) })
  })
}

export async function remove(unit: Unit, call: Call, { source }: Named) {
  const row = existing(await find(unit, source), source)
  await unit.tx.delete(hookSources).where(eq(hookSources.name, source))
  await audit.record(unit, call, { action: 'hooks.remove', target: source })
  return shown(row)
}

export async function get(unit: Unit, { source }: Named) {
  return shown(existing(await find(unit, source), source))
}

export async function list(unit: Unit, query: PageQuery) {
  const after = textPosition('hook_sources', query.cursor)
  const rows = await unit.tx
    .select()
    .from(hookSources)
    .where(after ? gt(hookSources.name, after) : undefined)
    .orderBy(asc(hookSources.name))
    .limit(query.limit + 1)
  return pageOf(rows, query, row => cursorOf('hook_sources', row.name), shown)
}

/** One change of a source at a time. */
async function change(
  { db, clock }: HookDeps,
  { caller: { tenantId } }: Call,
  name: string,
  work: (unit: Unit, found: Row | undefined) => Promise<Row>,
) {
  return db.tenant(tenantId, async tx => {
    await tx.execute(sql`select pg_advisory_xact_lock(hashtext(${`${tenantId} hook ${name}`}))`)
    const unit = { tx, clock }
    return shown(await work(unit, await find(unit, name)))
  })
}

async function find({ tx }: Unit, name: string): Promise<Row | undefined> {
  const [row] = await tx.select().from(hookSources).where(eq(hookSources.name, name))
  return row
}

function existing(row: Row | undefined, name: string): Row {
  if (row) return row
  throw new AppError('not_found', { public: `There is no hook source "${name}".` })
}

async function fresh({ tx, clock }: Unit, { caller: { tenantId } }: Call, name: string) {
  if ((await tx.$count(hookSources)) >= SOURCES_MAX) {
    const says = `This tenant has ${SOURCES_MAX} hook sources, the most it may; remove some first.`
    throw new AppError('conflict', { public: says })
  }
  const at = new Date(clock.now())
  return { tenantId, name, id: newId('hook', clock.now()), createdAt: at, changedAt: at }
}

async function store({ tx }: Unit, row: Row): Promise<Row> {
  const { definition, secrets, changedAt } = row
  const set = { definition, secrets, changedAt }
  const target = [hookSources.tenantId, hookSources.name]
  await tx.insert(hookSources).values(row).onConflictDoUpdate({ target, set })
  return row
}

async function sealedAll(
  { vault, clock }: HookDeps,
  row: Pick<Row, 'tenantId' | 'id'>,
  scheme: HookScheme,
  secrets: Record<string, string>,
): Promise<StoredSecret[]> {
  const entries = Object.entries(secrets)
  if (entries.length === 0) throw wrongAt('/secrets', 'A source needs a secret.')
  if (entries.length > HOOK_SECRETS_MAX) throw tooMany()
  const added_at = new Date(clock.now()).toISOString()
  return Promise.all(
    entries.map(async ([name, secret]) => {
      await keyOf(scheme, secret)
      return { name, sealed: await vault.seal(secret, placeOf(row, name)), added_at }
    }),
  )
}

/** Whether these are its secrets already, none more and none less. */
async function hasJust(deps: HookDeps, row: Row, secrets: Record<string, string> | undefined) {
  return !secrets || isSame(await openedSecrets(deps.vault, row), secrets)
}

async function mustFitContracts(unit: Unit, { events }: HookSource): Promise<void> {
  for (const [kind, { type, fields = {} }] of Object.entries(events)) {
    const at = `/events/${kind.replaceAll('~', '~0').replaceAll('/', '~1')}`
    const contract = await newestType(unit, type)
    if (!contract) {
      const says = `There is no event type "${type.slice(0, 100)}"; declare it first, by PUT /v1/event-types/${type.slice(0, 100)}.`
      throw wrongAt(`${at}/type`, says)
    }
    const unknown = Object.keys(fields).find(field => !Object.hasOwn(contract.fields, field))
    if (unknown === undefined) continue
    const known = Object.keys(contract.fields).slice(0, 20).join(', ')
    const says = `${type} has no field "${unknown.slice(0, 100)}"; it has ${known}.`
    throw wrongAt(`${at}/fields`, says)
  }
}

function isSame(a: object, b: object): boolean {
  return JSON.stringify(sortedDeep(a)) === JSON.stringify(sortedDeep(b))
}

function shown({ name, id, definition, secrets, createdAt, changedAt }: Row) {
  return {
    name,
    path: `/v1/hooks/${id}`,
    scheme: definition.scheme,
    events: definition.events,
    tolerance_s: definition.tolerance_s,
    secrets: secrets.map(({ name, added_at }) => ({ name, added_at })),
    created_at: createdAt.toISOString(),
    changed_at: changedAt.toISOString(),
  }
}

function tooMany(): AppError {
  return wrongAt('/secrets', `A source has at most ${HOOK_SECRETS_MAX} secrets; remove old ones.`)
}

function wrongAt(pointer: string, detail: string): AppError {
  return new AppError('invalid_definition', { public: detail, errors: [{ pointer, detail }] })
}
