/**
 * Runs and their steps. A job is a run; its shards are steps; a pipeline will be a run with more kinds
 * of steps on the same tables and the same lease code.
 */
import { sql } from 'drizzle-orm'
import {
  bigint,
  bigserial,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  timestamp,
} from 'drizzle-orm/pg-core'
import type { FileId, KeyId, RunId, StepId, TenantId } from '#schemas/ids.ts'

const at = (name: string) => timestamp(name, { withTimezone: true })
const tenant = () => text('tenant_id').$type<TenantId>().notNull()

export type RunState = 'queued' | 'running' | 'done' | 'failed' | 'canceled' | 'expired'
export type StepState = 'waiting' | 'queued' | 'leased' | 'done' | 'failed' | 'canceled'
export type RunKind = 'inference' | 'training_set' | 'proof' | 'skew' | 'import' | 'batch'
/** `make`, `prove`, `check`, `import`: the one step of a training set, a proof, a check for skew, an import. */
export type StepKind = 'plan' | 'shard' | 'merge' | 'make' | 'prove' | 'check' | 'import'

export const runs = pgTable(
  'runs',
  {
    tenantId: tenant(),
    id: text('id').$type<RunId>().notNull(),
    kind: text('kind').$type<RunKind>().notNull(),
    state: text('state').$type<RunState>().notNull(),
    /** The key that asked, with what its receipts carry. */
    keyId: text('key_id').$type<KeyId>().notNull(),
    project: text('project'),
    tags: jsonb('tags').$type<Record<string, string>>().notNull().default({}),
    /** What to do; pinned at creation, so that a later alias flip does not change a job under way. */
    spec: jsonb('spec').$type<RunSpec>().notNull(),
    rowsTotal: bigint('rows_total', { mode: 'number' }),
    rowsDone: bigint('rows_done', { mode: 'number' }).notNull().default(0),
    rowsFailed: bigint('rows_failed', { mode: 'number' }).notNull().default(0),
    stepsTotal: integer('steps_total').notNull().default(0),
    stepsLeft: integer('steps_left').notNull().default(0),
    resultKey: text('result_key'),
    resultSize: bigint('result_size', { mode: 'number' }),
    resultSha256: text('result_sha256'),
    /** What the result was made from, as far as it is known only at the end; of a proof what it found. */
    lineage: jsonb('lineage').$type<TrainingSetLineage | ProofFound | SkewFound | BatchFound>(),
    error: jsonb('error').$type<{ code: string; detail: string }>(),
    createdAt: at('created_at').notNull().default(sql`now()`),
    startedAt: at('started_at'),
    endedAt: at('ended_at'),
    expiresAt: at('expires_at'),
  },
  t => [
    primaryKey({ columns: [t.tenantId, t.id] }),
    index('runs_expiring').on(t.expiresAt).where(sql`state in ('queued', 'running')`),
  ],
)

export type RunSpec =
  | InferenceSpec
  | TrainingSetSpec
  | ProofSpec
  | SkewSpec
  | ImportSpec
  | BatchSpec

/** A version of a table, whose rows become events. */
export type ImportSpec = {
  table: string
  tableVersion: number
  /** Microseconds: since when rows hold that do not say so themselves. */
  importedAt: number
  time: string | null
  input: InputFile
}

export type InputFile = { sha256: string; size: number; format: 'jsonl' | 'parquet' }

export type InferenceSpec = {
  model: string
  version: number
  digest: string
  input: InputFile
  /** The class of runners that its version asks for; absent: any. */
  hardware?: string
}

/** A batch of requests, each a line of its file. */
export type BatchSpec = {
  requests: { file: FileId; size: number }
  endpoint: string
  metadata: Record<string, string> | null
  /** Of what it makes; null: kept until it is deleted. */
  outputExpiresAfterS: number | null
  /** Pinned when the file has been read: until then nobody knows which is asked. */
  model?: string
  version?: number
  digest?: string
  /** The class of runners that this version asks for; absent: any. */
  hardware?: string
}

/** What is known of a batch besides its rows. Times in Unix milliseconds. */
export type BatchFound = {
  /** Why it is not even begun, by the line. */
  errors?: { code: string; message: string; line: number | null; param: string | null }[]
  inProgressAt?: number
  finalizingAt?: number
  /** It ends early, with what is done. */
  windingDown?: { as: 'canceled' | 'expired'; at: number }
  outputFile?: FileId
  errorFile?: FileId
}

/** All that the bytes of a training set follow from, together with the log. */
export type TrainingSetSpec = {
  service: string
  serviceVersion: number
  serviceHash: string
  views: { name: string; version: number; hash: string }[]
  mode: 'as_served' | 'as_corrected'
  /** Microseconds: what became known later is not seen. */
  asOf: number
  /** Number in the log: what came into it later is not seen. */
  logPosition: number
  statuses: boolean
  /** The spine. */
  input: InputFile
}

/** A view, asked in both ways about the log as it was. */
export type ProofSpec = {
  view: string
  viewVersion: number
  viewHash: string
  asOf: number
  logPosition: number
  /** At most so many. */
  questions: number
}

export type ProofFound = {
  entities: number
  /** Entities with more events than are looked at one by one. */
  skipped: number
  questions: number
  values: number
  mismatches: number
}

/** The reads that were sampled up to a moment, computed again from the log as it was then. */
export type SkewSpec = { reads: 'sampled'; asOf: number; logPosition: number }
export type SkewFound = { checked: number; mismatches: number; pending: number }

/** By event type, what was read of the log. */
export type TrainingSetLineage = Record<
  string,
  {
    /** Of the contract. */
    version: number
    segments: number
    /** SHA-256 over the digests of the segments, sorted, a line each. */
    segmentsSha256: string
    /** Rows that were in no segment yet. */
    openRows: number
  }
>

export const steps = pgTable(
  'steps',
  {
    tenantId: tenant(),
    id: text('id').$type<StepId>().notNull(),
    runId: text('run_id').$type<RunId>().notNull(),
    kind: text('kind').$type<StepKind>().notNull(),
    /** Position among the shards, 0 for plan and merge. */
    number: integer('number').notNull().default(0),
    state: text('state').$type<StepState>().notNull(),
    /** Grows with every lease and every cancel; a write that names an older one is refused. */
    epoch: integer('epoch').notNull().default(0),
    /** Attempts that failed for a reason of their own; a preempted or lost lease is not one. */
    attempts: integer('attempts').notNull().default(0),
    /** Leases that ended without a word: a step that kills its runners must not do so for ever. */
    losses: integer('losses').notNull().default(0),
    leaseUntil: at('lease_until'),
    runner: text('runner'),
    input: jsonb('input').$type<Record<string, unknown>>().notNull().default({}),
    output: jsonb('output').$type<Record<string, unknown>>(),
    error: jsonb('error').$type<{ code: string; detail: string }>(),
    updatedAt: at('updated_at').notNull().default(sql`now()`),
  },
  t => [
    primaryKey({ columns: [t.tenantId, t.id] }),
    index('steps_by_run').on(t.tenantId, t.runId, t.kind, t.number),
    index('steps_open').on(t.updatedAt).where(sql`state in ('queued', 'leased')`),
  ],
)

/** Messages that a transaction promised; the relay sends them and deletes them. */
export const outbox = pgTable('outbox', {
  id: bigserial('id', { mode: 'bigint' }).primaryKey(),
  tenantId: tenant(),
  queue: text('queue').notNull(),
  body: jsonb('body').notNull(),
  delayS: integer('delay_s').notNull().default(0),
})
