/** Who changed what: appended in the transaction that changes, so neither stands without the other. */
import { and, desc, lt } from 'drizzle-orm'
import type { Call } from '#core/caller.ts'
import type { Unit } from '#core/deps.ts'
import { cursorOf, type Page, type PageQuery, pageOf, textPosition } from '#core/page.ts'
import { type AuditId, newId } from '#schemas/ids.ts'
import { auditLog } from '#schemas/tables/tenants.ts'

export async function record(
  unit: Unit,
  call: Call,
  change: { action: string; target: string; detail?: Record<string, unknown> },
): Promise<void> {
  await unit.tx.insert(auditLog).values({
    tenantId: call.caller.tenantId,
    id: newId('audit', unit.clock.now()),
    at: new Date(unit.clock.now()),
    actor: call.caller.keyId,
    requestId: call.requestId,
    ...change,
  })
}

export async function list(unit: Unit, query: PageQuery): Promise<Page<ReturnType<typeof shown>>> {
  const after = textPosition('audit', query.cursor) as AuditId | null
  const rows = await unit.tx
    .select()
    .from(auditLog)
    .where(and(after ? lt(auditLog.id, after) : undefined))
    .orderBy(desc(auditLog.id))
    .limit(query.limit + 1)
  return pageOf(rows, query, row => cursorOf('audit', row.id), shown)
}

function shown(row: typeof auditLog.$inferSelect) {
  return {
    id: row.id,
    at: row.at.toISOString(),
    actor: row.actor,
    action: row.action,
    target: row.target,
    request_id: row.requestId,
    detail: row.detail,
  }
}
