/** Validation of versions: runners judge, and what must happen although none of them does. */
import { and, eq, lt } from 'drizzle-orm'
import type { Clock, Database, Unit } from '#core/deps.ts'
import * as outbox from '#core/outbox.ts'
import type { TenantId, VersionId } from '#schemas/ids.ts'
import type { Signature } from '#schemas/signature.ts'
import { modelVersions } from '#schemas/tables/models.ts'
import type { Version } from './resolve.ts'

/** Far longer than a validation takes, so that one that is under way is not asked for twice. */
const SILENT_MS = 5 * 60_000
/** Two hours of asking: by then the version itself is what ends its validators. */
const ASKS_MAX = 24
const PER_SWEEP_MAX = 500

export type Verdict =
  | { ok: true; signature: Signature; report: Record<string, unknown> }
  | { ok: false; detail: string }

/** Promises the message by which a runner hears of the version. */
export function ask(unit: Unit, tenantId: TenantId, versionId: VersionId): Promise<void> {
  return outbox.promise(unit, tenantId, [{ queue: 'validate', body: { versionId } }])
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

/** A version that waits for validation; null when it no longer does. */
export async function awaitingVerdict(unit: Unit, versionId: VersionId): Promise<Version | null> {
  const [row] = await unit.tx.select().from(modelVersions).where(eq(modelVersions.id, versionId))
  return row?.state === 'validating' ? row : null
}

/** Asks again where no verdict came: the message was lost, or given up after too many receives. */
export async function askAgain(deps: { db: Database; clock: Clock }): Promise<number> {
  const before = new Date(deps.clock.now() - SILENT_MS)
  const silent = await deps.db.system(tx =>
    tx
      .select({
        tenantId: modelVersions.tenantId,
        id: modelVersions.id,
        asks: modelVersions.asks,
      })
      .from(modelVersions)
      .where(and(eq(modelVersions.state, 'validating'), lt(modelVersions.askedAt, before)))
      .limit(PER_SWEEP_MAX),
  )
  for (const version of silent) {
    await deps.db.tenant(version.tenantId, tx => once({ tx, clock: deps.clock }, version))
  }
  return silent.length
}

async function once(unit: Unit, version: Pick<Version, 'tenantId' | 'id' | 'asks'>): Promise<void> {
  if (version.asks >= ASKS_MAX) {
    const detail = `no validation of it came to an end in ${version.asks} attempts`
    return judge(unit, version.id, { ok: false, detail })
  }
  await unit.tx
    .update(modelVersions)
    .set({ asks: version.asks + 1, askedAt: new Date(unit.clock.now()) })
    .where(eq(modelVersions.id, version.id))
  await ask(unit, version.tenantId, version.id)
}
