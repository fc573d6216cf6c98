/**
 * The classes of single-writer objects, by the name that stands in paths and folders. An object is
 * opened on its own SQL and then answers methods, one at a time and without waiting for anything.
 */
import * as z from 'zod'
import type { Clock, ObjectSql } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { TenantRates } from '#core/tenants/rate-object.ts'

export type ObjectMethods = Record<string, (input: unknown) => unknown>
/** Makes its tables where they are missing: it runs whenever the object wakes. */
export type ObjectClass = (sql: ObjectSql, clock: Clock) => ObjectMethods

const leaseRate = z.object({
  limit: z.string().min(1).max(64),
  perS: z.number().positive(),
  burst: z.number().positive(),
  want: z.int().positive(),
})

export const OBJECT_CLASSES = {
  tenant(sql, clock) {
    const rates = new TenantRates(sql, clock)
    return { leaseRate: input => rates.leaseRate(parsed(leaseRate, input)) }
  },
} satisfies Record<string, ObjectClass>

function parsed<T>(schema: z.ZodType<T>, input: unknown): T {
  const result = schema.safeParse(input)
  if (result.success) return result.data
  throw new AppError('invalid_request', {
    public: `The input of the object is malformed: ${z.prettifyError(result.error)}`,
  })
}
