/** What is asked of the process that makes training sets, and what comes back. */
import type { Knowledge } from '#core/features/sql.ts'
import type { FieldType } from '#schemas/event.ts'
import type { ServicePlan } from '#schemas/feature.ts'

/** Files lie in the folder of the work under names, so that no SQL holds a path. */
export const RESULT = 'training-set.parquet'

export type KeyField = { name: string; type: FieldType }
export type TrainingSet = {
  service: ServicePlan
  /** Of each entity of the service's views: the columns of the spine that make its key, in order. */
  entities: Record<string, KeyField[]>
  /**
   * Relations in SQL over the linked files. A log (per event type) is as core/features/sql.ts says. The
   * spine has the entities' columns, `t`, the fields of requests by name, and whatever else is to stand
   * beside the values, such as labels.
   */
  logs: Record<string, string>
  spine: string
  knowledge: Knowledge
  /** Adds a column `<name>__status` per feature. */
  statuses: boolean
}
export type Limits = { memoryMb: number; threads: number }
export type Request = { folder: string; limits: Limits } & TrainingSet

/** `rows` of the spine; `parts`: in so many pieces, one after the other. */
export type Made = { rows: number; columns: string[]; parts: number }
/** `memory`, `disk`: it ran out of them; `data`: what is wrong with the spine; `fault`: anything else. */
export type Failed = { failed: 'memory' | 'disk' | 'data' | 'fault'; text: string }
export type Reply = Made | Failed

/** Something is wrong with the spine, in words for who wrote it. */
export class WrongSpine extends Error {}
