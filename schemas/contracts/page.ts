/** Listings: `limit` and an opaque cursor in, `{data, has_more, next_cursor}` out. */
import * as z from 'zod'

export const pageQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  cursor: z.string().max(500).optional(),
})

export const pageOf = <T extends z.ZodType>(item: T) =>
  z.object({ data: z.array(item), has_more: z.boolean(), next_cursor: z.string().nullable() })

export const timestamp = z.iso.datetime({ offset: true })
