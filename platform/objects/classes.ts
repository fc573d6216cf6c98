/**
 * The classes of single-writer objects, by the name that stands in paths and folders. An object is
 * opened on its own SQL and then answers methods, one at a time and without waiting for anything.
 */
import * as z from 'zod'
import type { Clock, ObjectSql } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { answerOf, PartitionObject } from '#core/features/partition-object.ts'
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
  // Hundreds of events a call, from places of ours that checked them by their contracts: not parsed again.
  features(sql, clock) {
    const object = new PartitionObject(sql, clock)
    return {
      apply: input =>
        answerOf(() => object.apply(input as Parameters<PartitionObject['apply']>[0])),
      read: input => answerOf(() => object.read(input as Parameters<PartitionObject['read']>[0])),
      decide: input =>
        answerOf(() => object.decide(input as Parameters<PartitionObject['decide']>[0])),
      explain: input =>
        answerOf(() => object.explain(input as Parameters<PartitionObject['explain']>[0])),
      erase: input =>
        answerOf(() => object.erase(input as Parameters<PartitionObject['erase']>[0])),
      outgoing: input => object.outgoing(input as Parameters<PartitionObject['outgoing']>[0]),
      sent: input => object.sent(input as Parameters<PartitionObject['sent']>[0]),
    }
  },
} satisfies Record<string, ObjectClass>

function parsed<T>(schema: z.ZodType<T>, input: unknown): T {
  const result = schema.safeParse(input)
  if (result.success) return result.data
  throw new AppError('invalid_request', {
    public: `The input of the object is malformed: ${z.prettifyError(result.error)}`,
  })
}
