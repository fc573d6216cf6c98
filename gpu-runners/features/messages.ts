/** What is asked of the process that makes training sets, and what comes back. */
import type { Knowledge } from '#core/features/sql.ts'
import type { sets } from '#core/training/training.ts'
import type { EventType } from '#schemas/event.ts'
import type { FeatureValue, ServicePlan, Status, ViewPlan } from '#schemas/feature.ts'
import type { ProofFound } from '#schemas/tables/jobs.ts'

/** Files lie in the folder of the work under names, so that no SQL holds a path. */
export const RESULT = 'training-set.parquet'

/** The spine's column of times: RFC 3339, timestamps, or whole microseconds. */
export const TIME = 'timestamp'

export type SpineFile = { file: string; format: 'jsonl' | 'parquet' }
export type TrainingSet = {
  service: ServicePlan
  /** Of each entity of the service's views: columns of the spine that make its key; the first that are there. */
  entities: Record<string, sets.KeyField[][]>
  /** By event type, relations in SQL over the linked files, as core/features/sql.ts says. */
  logs: Record<string, string>
  /**
   * A linked file with `timestamp`, the entities' columns, the fields of requests by name, and whatever else
   * is to stand beside the values, such as labels.
   */
  spine: SpineFile
  knowledge: Knowledge
  /** Adds a column `<name>__status` per feature. */
  statuses: boolean
}
/** A view over a log, asked in both ways at about so many moments, none of them past `asOf`. */
export type Proof = { view: ViewPlan; log: string; asOf: number; questions: number }
export type Proven = { found: ProofFound; mismatches: Mismatch[]; spentUs: number }
/** An answer that differs, with as few events of its entity as still make it differ. */
export type Mismatch = {
  entity: string
  entity_key: string
  /** Microseconds, as all times here. */
  at: number
  feature: string
  sql: Answer
  object: Answer
  events: Record<string, unknown>[]
}
export type Answer = { value: FeatureValue; status: Status }

export type Limits = { memoryMb: number; threads: number }
export type SetWork = { task: 'set' } & TrainingSet
export type ProofWork = { task: 'proof' } & Proof
export type CheckWork = { task: 'check'; checks: Check[] }
export type RowsWork = {
  task: 'rows'
  file: SpineFile
  time: string | null
  fields: EventType['fields']
}
export type Work = SetWork | ProofWork | CheckWork | RowsWork
/** Lines of `{time, data}` in a file of the folder, as an event would bring them. */
export const ROWS = 'rows.jsonl'
export type RowsMade = { rows: number }
/** Reads of a view, by the log of its event type. */
export type Check = {
  view: ViewPlan
  log: string
  reads: { id: number; key: string; at: number }[]
}
/** By the number of the read, what the features of its view are. */
export type Recomputed = { answers: [id: number, Answer[]][] }
export type Request = { folder: string; limits: Limits } & Work

/** On the way: of the rows of the spine, how many are as good as done. */
export type Progress = { rowsTotal: number; rowsDone: number }
/** `rows` of the spine; `parts`: in so many pieces, one after the other; `spentUs`: of the clock. */
export type Made = { rows: number; columns: string[]; parts: number; spentUs: number }
/** `memory`, `disk`: it ran out of them; `data`: what is wrong with the spine; `fault`: anything else. */
export type Failed = { failed: 'memory' | 'disk' | 'data' | 'fault'; text: string }
export type Reply<W extends Work> =
  | (W extends ProofWork
      ? Proven
      : W extends CheckWork
        ? Recomputed
        : W extends RowsWork
          ? RowsMade
          : Made)
  | Failed
  | { progress: Progress }

/** Something is wrong with the spine, in words for who wrote it. */
export class WrongSpine extends Error {}
