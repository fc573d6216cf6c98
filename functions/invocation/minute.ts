/** Which minute a schedule calls for: one that comes late is still the call of its own minute. */
import * as z from 'zod'

const MINUTE_MS = 60_000
/** As the schedule in `stacks/schedules.ts` writes it. */
const event = z.object({ at: z.iso.datetime({ offset: true }) })

/** Minutes since 1970. Throws when it was not called by a schedule. */
export function minuteOf(given: unknown): number {
  const { success, data, error } = event.safeParse(given)
  if (success) return Math.floor(Date.parse(data.at) / MINUTE_MS)
  throw new Error(
    `This function takes the time of its schedule, as {"at": "2026-11-30T12:00:00Z"}:\n${z.prettifyError(error)}`,
  )
}
