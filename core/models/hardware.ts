/** Classes of hardware: what runners announce, and whether a version that asks for one can be served. */
import { asc, gt, lt, sql } from 'drizzle-orm'
import type { Supply, Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { RUNNER_SILENT_MS, runners } from '#schemas/tables/runners.ts'

const FORGOTTEN_MS = 24 * 60 * 60_000

export type Announcement = {
  name: string
  hardware: string
  providers: string[]
  lacks: string | null
  cores: number
  modelMemoryMb: number
  /** Part of its time that online requests take, 0 to 1. */
  onlineShare: number
  /** Models of online requests that it has in memory. */
  warmModels: number
}

export async function announce(unit: Unit, given: Announcement): Promise<void> {
  const seenAt = new Date(unit.clock.now())
  // One of the version before says nothing of its load.
  const { onlineShare = 0, warmModels = 0 } = given
  const row = { ...given, onlineShare, warmModels, seenAt }
  const silentSince = before(unit, RUNNER_SILENT_MS).toISOString()
  const sinceAt = sql`case when runners.seen_at > ${silentSince}::timestamptz
    then runners.since_at else excluded.since_at end`
  const onlineAt = onlineShare > 0 ? { onlineAt: seenAt } : {}
  await unit.tx
    .insert(runners)
    .values({ ...row, ...onlineAt, sinceAt: seenAt })
    .onConflictDoUpdate({ target: runners.name, set: { ...row, ...onlineAt, sinceAt } })
  await unit.tx.delete(runners).where(lt(runners.seenAt, before(unit, FORGOTTEN_MS)))
}

/**
 * Throws `invalid_body` with the runners that there are, and those that there can be, when none can serve this class.
 */
export async function demand(unit: Unit & Supply, hardware: string): Promise<void> {
  const { suppliedClasses } = unit
  if (suppliedClasses.includes(hardware)) return
  const there = await unit.tx
    .select()
    .from(runners)
    .where(gt(runners.seenAt, before(unit, RUNNER_SILENT_MS)))
    .orderBy(asc(runners.name))
  const ofClass = there.filter(runner => runner.hardware === hardware)
  if (ofClass.some(({ lacks }) => lacks === null)) return
  const found = there.map(
    ({ name, hardware, lacks }) => `${name} is ${hardware}${lacks ? `, but ${lacks}` : ''}`,
  )
  if (found.length === 0) found.push('no runner is there at all')
  if (suppliedClasses.length > 0) {
    found.push(
      `runners of class ${suppliedClasses.join(', ')} are started when there is work for them`,
    )
  }
  const why =
    ofClass.length > 0
      ? `no runner of class "${hardware}" can serve`
      : `no runner is of class "${hardware}"`
  throw new AppError('invalid_body', {
    public: `The manifest asks for hardware "${hardware}", and ${why}: ${found.join('; ')}.`,
    errors: [{ pointer: '/hardware', detail: why }],
  })
}

function before({ clock }: Unit, ms: number): Date {
  return new Date(clock.now() - ms)
}
