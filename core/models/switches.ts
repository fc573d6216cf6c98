/**
 * The switch log: which version served under which name since when, who wanted it, and what became of the
 * requests. A row is written in the transaction that switches, so that neither stands without the other.
 */
import { and, desc, eq, inArray, isNull, lt, sql } from 'drizzle-orm'
import type { Unit } from '#core/deps.ts'
import { cursorOf, type Page, type PageQuery, pageOf, textPosition } from '#core/page.ts'
import { newId, type SwitchId, type TenantId } from '#schemas/ids.ts'
import { modelSwitches, type SwitchKind } from '#schemas/tables/rollouts.ts'
import { modelOf } from './resolve.ts'

/** Who moves by itself when a guard is broken. */
export const GALLEY = 'galley'

export type Move = {
  model: string
  alias: string
  kind: SwitchKind
  from: number | null
  to: number | null
  outcome?: 'done' | 'refused'
  reason?: string | null
}
export type ShownSwitch = ReturnType<typeof shown>

export async function record(
  unit: Unit,
  who: { tenantId: TenantId; actor: string },
  { model, alias, kind, from, to, outcome = 'done', reason = null }: Move,
): Promise<ShownSwitch> {
  const now = unit.clock.now()
  const id = newId('switch', now)
  const at = new Date(now)
  const versions = { fromVersion: from, toVersion: to }
  const [row] = await unit.tx
    .insert(modelSwitches)
    .values({ ...who, id, model, alias, kind, ...versions, outcome, reason, at })
    .returning()
  return shown(row!)
}

export async function switches(
  unit: Unit,
  input: { model: string } & PageQuery,
): Promise<Page<ShownSwitch>> {
  await modelOf(unit, input.model)
  const after = textPosition('switches', input.cursor) as SwitchId | null
  const rows = await unit.tx
    .select()
    .from(modelSwitches)
    .where(
      and(eq(modelSwitches.model, input.model), after ? lt(modelSwitches.id, after) : undefined),
    )
    .orderBy(desc(modelSwitches.id))
    .limit(input.limit + 1)
  return pageOf(rows, input, row => cursorOf('switches', row.id), shown)
}

/** What served before the version that serves now was chosen; null: nothing did. */
export async function before(
  unit: Unit,
  { model, alias, version }: { model: string; alias: string; version: number },
): Promise<number | null> {
  const [row] = await unit.tx
    .select({ from: modelSwitches.fromVersion })
    .from(modelSwitches)
    .where(
      and(
        eq(modelSwitches.model, model),
        eq(modelSwitches.alias, alias),
        eq(modelSwitches.toVersion, version),
        eq(modelSwitches.outcome, 'done'),
        inArray(modelSwitches.kind, ['flip', 'promote']),
        sql`${modelSwitches.fromVersion} is distinct from ${version}`,
      ),
    )
    .orderBy(desc(modelSwitches.id))
    .limit(1)
  return row?.from ?? null
}

export type Seen = { answered_from: number; answered_to: number; dropped: number; mixed: number }

/** Told once by the edge that made the switch. */
export async function observed(unit: Unit, id: SwitchId, seen: Seen): Promise<void> {
  const { answered_from: answeredFrom, answered_to: answeredTo, dropped, mixed } = seen
  await unit.tx
    .update(modelSwitches)
    .set({ answeredFrom, answeredTo, dropped, mixed })
    .where(and(eq(modelSwitches.id, id), isNull(modelSwitches.dropped)))
}

function shown(row: typeof modelSwitches.$inferSelect) {
  return {
    id: row.id,
    at: row.at.toISOString(),
    alias: row.alias,
    kind: row.kind,
    from: row.fromVersion,
    to: row.toVersion,
    outcome: row.outcome,
    reason: row.reason,
    actor: row.actor,
    answered_from: row.answeredFrom,
    answered_to: row.answeredTo,
    dropped: row.dropped,
    mixed: row.mixed,
  }
}
