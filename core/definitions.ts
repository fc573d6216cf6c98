/**
 * What builders define by name: every version immutable and known by its hash, a next one only where something
 * has changed. The newest serves those who name none.
 */
import { and, asc, desc, eq, gt, sql } from 'drizzle-orm'
import type { Unit } from '#core/deps.ts'
import { cursorOf, type Page, type PageQuery, pageOf, textPosition } from '#core/page.ts'
import type { TenantId } from '#schemas/ids.ts'
import type { decisionEndpoints } from '#schemas/tables/decisions.ts'
import type { featureServices, featureViews } from '#schemas/tables/features.ts'

type Table = typeof featureViews | typeof featureServices | typeof decisionEndpoints

/** `one` names what is defined in the lock, `listing` in cursors. */
export function definitionsIn<T extends Table>(given: T, { one, listing }: Named) {
  type Row = T['$inferSelect']
  // All have the same columns; what is in `plan` only the rows' type says.
  const table = given as typeof featureViews

  async function newest(unit: Unit, name: string): Promise<Row | null> {
    const [row] = await unit.tx
      .select()
      .from(table)
      .where(eq(table.name, name))
      .orderBy(desc(table.version))
      .limit(1)
    return row ?? null
  }

  return {
    newest,

    /** For the rest of the transaction: two at once would both make the same next version. */
    async lock(unit: Unit, tenantId: TenantId, name: string): Promise<void> {
      const lock = sql`select pg_advisory_xact_lock(hashtext(${`${tenantId} ${one} ${name}`}))`
      await unit.tx.execute(lock)
    },

    /** The version after `last`, the first where that is null. */
    async add(
      unit: Unit,
      tenantId: TenantId,
      next: { name: string; last: Row | null; definition: unknown; plan: Row['plan'] },
    ): Promise<Row> {
      const { name, last, definition, plan } = next
      const version = (last?.version ?? 0) + 1
      const createdAt = new Date(unit.clock.now())
      const { hash } = plan
      const of = { tenantId, name, version, hash, definition, active: true, createdAt }
      const row = { ...of, plan: { ...plan, version } } as Row
      await unit.tx.insert(table).values(row as typeof featureViews.$inferInsert)
      return row
    },

    /** Of a version, or of the newest; null: there is none. */
    async plan(unit: Unit, name: string, version?: number): Promise<Row['plan'] | null> {
      if (version === undefined) return (await newest(unit, name))?.plan ?? null
      const [row] = await unit.tx
        .select()
        .from(table)
        .where(and(eq(table.name, name), eq(table.version, version)))
      return row?.plan ?? null
    },

    /** The newest of each name, by name. */
    async page<Item>(unit: Unit, query: PageQuery, item: (row: Row) => Item): Promise<Page<Item>> {
      const after = textPosition(listing, query.cursor)
      const rows = await unit.tx
        .selectDistinctOn([table.name])
        .from(table)
        .where(after ? gt(table.name, after) : undefined)
        .orderBy(asc(table.name), desc(table.version))
        .limit(query.limit + 1)
      return pageOf(rows, query, row => cursorOf(listing, row.name), item)
    },
  }
}

type Named = { one: string; listing: string }

/** What applying it would make of the newest that there is. */
export function changeTo(
  newest: { version: number; hash: string } | null,
  { hash }: { hash: string },
): { change: 'new' | 'same' | 'next'; version: number } {
  if (!newest) return { change: 'new', version: 1 }
  if (newest.hash === hash) return { change: 'same', version: newest.version }
  return { change: 'next', version: newest.version + 1 }
}
