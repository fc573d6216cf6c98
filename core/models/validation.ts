/** Validation of versions: runners judge, and what must happen although none of them does. */
import { and, eq, lt, type SQL, sql } from 'drizzle-orm'
import type { Clock, Database, Unit } from '#core/deps.ts'
import * as outbox from '#core/outbox.ts'
import type { VersionId } from '#schemas/ids.ts'
import { queueFor } from '#schemas/queues.ts'
import type { Signature } from '#schemas/signature.ts'
import { type Manifest, modelVersions } from '#schemas/tables/models.ts'
import type { Version } from './resolve.ts'

/** Far longer than a validation takes, so that one that is under way is not asked for twice. */
const SILENT_MS = 5 * 60_000
/** One that nobody has begun is asked for ever more rarely: no runner of its class is there, or all are busy. */
const SILENT_MS_MAX = 60 * 60_000
/** Two hours of attempts: by then the version itself is what ends its validators. */
const ASKS_MAX = 24
const PER_SWEEP_MAX = 500

export type Verdict =
  | { ok: true; signature: Signature; report: Record<string, unknown> }
  | { ok: false; detail: string }

type Asked = Pick<Version, 'tenantId' | 'id' | 'manifest'>

/** Promises the message by which runners of the class that the version asks for hear of it. */
export function ask(unit: Unit, { tenantId, id, manifest }: Asked, delayS = 0): Promise<void> {
  const queue = queueFor('validate', manifest.hardware)
  return outbox.promise(unit, tenantId, [{ queue, body: { versionId: id }, delayS }])
}

/**
 * What a runner of this class is to judge. Null: the version waits for no verdict any more; `elsewhere`: it asks for
 * another class, whose runners hear of it instead. Of the message that came here nothing is left to do then.
 */
export async function open(
  unit: Unit,
  { versionId, hardware }: { versionId: VersionId; hardware?: string },
): Promise<Manifest | 'elsewhere' | null> {
  const [version] = await unit.tx
    .select()
    .from(modelVersions)
    .where(eq(modelVersions.id, versionId))
    .for('update')
  if (version?.state !== 'validating') return null
  const now = unit.clock.now()
  const at = new Date(now)
  const { hardware: wanted } = version.manifest
  const isElsewhere = wanted !== undefined && wanted !== hardware
  await unit.tx
    .update(modelVersions)
    .set(isElsewhere ? { askedAt: at } : { openedAt: at })
    .where(eq(modelVersions.id, versionId))
  if (!isElsewhere) return version.manifest
  await ask(unit, version, outbox.elsewhereS(now - version.createdAt.getTime()))
  return 'elsewhere'
}

/** Stores what validation found. Only a version that still waits for it changes. */
export async function judge(unit: Unit, versionId: VersionId, verdict: Verdict): Promise<void> {
  await unit.tx
    .update(modelVersions)
    .set(
      verdict.ok
        ? {
            state: 'ready',
            signature: verdict.signature,
            report: verdict.report,
            readyAt: new Date(unit.clock.now()),
          }
        : { state: 'invalid', error: verdict.detail },
    )
    .where(and(eq(modelVersions.id, versionId), eq(modelVersions.state, 'validating')))
}

/**
 * Asks again where no verdict came: the message was lost, or given up after too many receives. Only what a runner began
 * counts as an attempt: a version waits for a class of which none is up for as long as it takes.
 */
export async function askAgain(deps: { db: Database; clock: Clock }): Promise<number> {
  const at = sql`${new Date(deps.clock.now())}::timestamptz`
  const ms = (span: number): SQL => sql`${`${span} ms`}::interval`
  const { askedAt, openedAt, createdAt } = modelVersions
  const isBegun = sql<boolean>`coalesce(${openedAt} >= ${askedAt}, false)`
  const silence = sql`case when ${isBegun} then ${ms(SILENT_MS)}
    else least(greatest((${at} - ${createdAt}) / 2, ${ms(SILENT_MS)}), ${ms(SILENT_MS_MAX)}) end`
  const silent = await deps.db.system(tx =>
    tx
      .select({
        tenantId: modelVersions.tenantId,
        id: modelVersions.id,
        manifest: modelVersions.manifest,
        asks: modelVersions.asks,
        isBegun,
      })
      .from(modelVersions)
      .where(and(eq(modelVersions.state, 'validating'), lt(askedAt, sql`${at} - ${silence}`)))
      .limit(PER_SWEEP_MAX),
  )
  for (const version of silent) {
    await deps.db.tenant(version.tenantId, tx => once({ tx, clock: deps.clock }, version))
  }
  return silent.length
}

async function once(
  unit: Unit,
  version: Asked & { asks: number; isBegun: boolean },
): Promise<void> {
  const { id, asks, isBegun } = version
  if (isBegun && asks >= ASKS_MAX) {
    const detail = `no validation of it came to an end in ${asks} attempts`
    return judge(unit, id, { ok: false, detail })
  }
  await unit.tx
    .update(modelVersions)
    .set({ asks: asks + (isBegun ? 1 : 0), askedAt: new Date(unit.clock.now()) })
    .where(eq(modelVersions.id, id))
  await ask(unit, version)
}
