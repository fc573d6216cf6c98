/** Listings: `limit` and an opaque cursor in, `{data, has_more, next_cursor}` out. */
import * as z from 'zod'

const YEAR_1_MS = Date.parse('0001-01-01T00:00:00Z')
const YEAR_10000_MS = Date.parse('+010000-01-01T00:00:00Z')

export const pageQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  cursor: z.string().max(500).optional(),
})

export const pageOf = <T extends z.ZodType>(item: T) =>
  z.object({ data: z.array(item), has_more: z.boolean(), next_cursor: z.string().nullable() })

export const timestamp = z.iso
  .datetime({ offset: true })
  .refine(isStorable, { error: 'a time between the years 1 and 9999' })

/** JavaScript counts years below 1 and above 9999 in a form of its own, which the database refuses. */
function isStorable(text: string): boolean {
  const ms = Date.parse(text)
  return Number.isNaN(ms) || (ms >= YEAR_1_MS && ms < YEAR_10000_MS)
}
