/** Uploads, models, their immutable versions and the aliases that point at them. */
import { sql } from 'drizzle-orm'
import {
  bigint,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  timestamp,
  uniqueIndex,
} from 'drizzle-orm/pg-core'
import type { ErrorCode } from '#schemas/errors.ts'
import type { TenantId, UploadId, VersionId } from '#schemas/ids.ts'
import type { Signature } from '#schemas/signature.ts'

const at = (name: string) => timestamp(name, { withTimezone: true })
const tenant = () => text('tenant_id').$type<TenantId>().notNull()

/** `verifying`: no part may change until the digest of all of them is known. `failed`: parts may change again. */
export type UploadState = 'open' | 'verifying' | 'complete' | 'failed'

/** A file on its way in. The parts themselves stand in the blob store, which is the truth about them. */
export const uploads = pgTable(
  'uploads',
  {
    tenantId: tenant(),
    id: text('id').$type<UploadId>().notNull(),
    sha256: text('sha256').notNull(),
    size: bigint('size', { mode: 'number' }).notNull(),
    state: text('state').$type<UploadState>().notNull().default('open'),
    /** Why it failed. */
    error: jsonb('error').$type<{ code: ErrorCode; detail: string }>(),
    /** Counts verifications that were begun: one that was overtaken may not say that the newest failed. */
    round: integer('round').notNull().default(0),
    /** When the queue was asked to verify it. */
    askedAt: at('asked_at'),
    createdAt: at('created_at').notNull().default(sql`now()`),
    completedAt: at('completed_at'),
  },
  t => [primaryKey({ columns: [t.tenantId, t.id] })],
)

/** Files that are complete, by digest: what manifests and jobs may refer to. */
export const files = pgTable(
  'files',
  {
    tenantId: tenant(),
    sha256: text('sha256').notNull(),
    size: bigint('size', { mode: 'number' }).notNull(),
    createdAt: at('created_at').notNull().default(sql`now()`),
  },
  t => [primaryKey({ columns: [t.tenantId, t.sha256] })],
)

export const models = pgTable(
  'models',
  {
    tenantId: tenant(),
    name: text('name').notNull(),
    /** Numbers are never used twice, so that a receipt's version names one file for ever. */
    lastNumber: integer('last_number').notNull().default(0),
    createdAt: at('created_at').notNull().default(sql`now()`),
  },
  t => [primaryKey({ columns: [t.tenantId, t.name] })],
)

export type Manifest = {
  /** Path of the main graph among the files. */
  graph: string
  files: { path: string; sha256: string; size: number }[]
  /** Declared batch axis by tensor name; null: none. Tensors that are not named are deduced. */
  batch_axes?: Record<string, number | null>
  /** Full shapes to use in the trial run, by input name, where no guess would fit. */
  trial_shapes?: Record<string, number[]>
  embedding?: EmbeddingManifest
  /** The class of runners that may run it; absent: any. */
  hardware?: string
}

/** How texts become the graph's input, and one of its outputs a vector each. */
export type EmbeddingManifest = {
  /** Path of a Hugging Face `tokenizer.json` among the files. */
  tokenizer: string
  /** The most that one text may have, special tokens included. */
  max_tokens: number
  pooling: 'mean' | 'cls' | 'last' | 'none'
  /** Vectors of the length 1. */
  normalize: boolean
  /** Longer texts are cut instead of refused. */
  truncate: boolean
  /** The output to pool, where it is not the only one of its form. */
  output?: string
  /** What is put in front of a text, by `input_type`. */
  prefixes?: Record<string, string>
  /** Sizes to which a vector may be cut, besides its own: of models that were trained for it. */
  dimensions?: number[]
}
export type VersionState = 'validating' | 'ready' | 'invalid' | 'deleted'

export const modelVersions = pgTable(
  'model_versions',
  {
    tenantId: tenant(),
    id: text('id').$type<VersionId>().notNull(),
    model: text('model').notNull(),
    number: integer('number').notNull(),
    /** SHA-256 of the canonical manifest, hex. */
    digest: text('digest').notNull(),
    manifest: jsonb('manifest').$type<Manifest>().notNull(),
    state: text('state').$type<VersionState>().notNull(),
    signature: jsonb('signature').$type<Signature>(),
    /** What validation found: opset, parameters, trial run. */
    report: jsonb('report').$type<Record<string, unknown>>(),
    /** Why it is invalid. */
    error: text('error'),
    createdAt: at('created_at').notNull().default(sql`now()`),
    readyAt: at('ready_at'),
    /** When runners were last asked to validate it, and how often it was asked again after one had begun. */
    askedAt: at('asked_at').notNull().default(sql`now()`),
    /** When one last began to. */
    openedAt: at('opened_at'),
    asks: integer('asks').notNull().default(1),
  },
  t => [
    primaryKey({ columns: [t.tenantId, t.id] }),
    uniqueIndex('model_versions_number').on(t.tenantId, t.model, t.number),
    index('model_versions_validating').on(t.askedAt).where(sql`state = 'validating'`),
  ],
)

export const modelAliases = pgTable(
  'model_aliases',
  {
    tenantId: tenant(),
    model: text('model').notNull(),
    alias: text('alias').notNull(),
    number: integer('number').notNull(),
    updatedAt: at('updated_at').notNull().default(sql`now()`),
  },
  t => [primaryKey({ columns: [t.tenantId, t.model, t.alias] })],
)
