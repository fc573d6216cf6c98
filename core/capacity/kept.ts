/** Decisions as they are kept: those alike, one after the other, are one row. */
import { and, desc, eq, gt, lt, type SQL } from 'drizzle-orm'
import type { Tx } from '#core/deps.ts'
import { capacityDecisions } from '#schemas/tables/capacity.ts'
import type { Decision } from './policy.ts'
import type { Need } from './snapshot.ts'

/** How far back needs are read. */
const PAST_MS = 2 * 3_600_000
const KEPT_MS = 30 * 86_400_000

/** Times are Unix milliseconds: of the first decision that was like this, and of the last. */
export type Kept = Omit<typeof capacityDecisions.$inferSelect, 'id' | 'sinceAt' | 'untilAt'> & {
  sinceAt: number
  untilAt: number
}

/** Of each class that has been decided for, the newest first. */
export async function newestOfEach(tx: Tx, max: number): Promise<Kept[]> {
  const { hardware: of } = capacityDecisions
  const classes = await tx.selectDistinct({ of }).from(capacityDecisions).orderBy(of)
  const decisions: Kept[] = []
  for (const { of: hardware } of classes) decisions.push(...(await newest(tx, { hardware, max })))
  return decisions
}

/** The newest first. */
export async function newest(
  tx: Tx,
  { hardware, max }: { hardware: string; max: number },
): Promise<Kept[]> {
  const rows = await rowsWhere(tx, eq(capacityDecisions.hardware, hardware))
    .orderBy(desc(capacityDecisions.id))
    .limit(max)
  return rows.map(({ id, sinceAt, untilAt, ...row }) => ({
    ...row,
    sinceAt: sinceAt.getTime(),
    untilAt: untilAt.getTime(),
  }))
}

export async function past(tx: Tx, hardware: string, now: number): Promise<Need[]> {
  const since = gt(capacityDecisions.untilAt, new Date(now - PAST_MS))
  const rows = await rowsWhere(tx, and(eq(capacityDecisions.hardware, hardware), since)).orderBy(
    desc(capacityDecisions.id),
  )
  const agoS = (at: Date) => Math.max(0, now - at.getTime()) / 1000
  return rows.map(({ sinceAt, untilAt, needed, started }) => ({
    sinceS: agoS(sinceAt),
    untilS: agoS(untilAt),
    runners: needed,
    started,
  }))
}

/** Whether it is another one than the last. Nobody else may keep one of this class meanwhile. */
export async function keep(
  tx: Tx,
  { hardware, desired, need, reasons }: Decision,
  { at, coldS }: { at: Date; coldS: number },
): Promise<boolean> {
  const [last] = await rowsWhere(tx, eq(capacityDecisions.hardware, hardware))
    .orderBy(desc(capacityDecisions.id))
    .limit(1)
  if (last) {
    const set = { untilAt: at, coldS }
    await tx.update(capacityDecisions).set(set).where(eq(capacityDecisions.id, last.id))
  }
  const { runners: needed, started } = need
  const { spot, on_demand: onDemand } = desired
  const row = { needed, started, spot, onDemand }
  const isSame =
    last !== undefined &&
    Object.entries(row).every(([name, value]) => last[name as keyof typeof row] === value)
  if (isSame) return false
  await tx
    .insert(capacityDecisions)
    .values({ hardware, sinceAt: at, untilAt: at, ...row, coldS, reasons })
  await tx
    .delete(capacityDecisions)
    .where(lt(capacityDecisions.untilAt, new Date(at.getTime() - KEPT_MS)))
  return true
}

const rowsWhere = (tx: Tx, where: SQL | undefined) =>
  tx.select().from(capacityDecisions).where(where)
