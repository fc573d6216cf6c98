/** Reading the inference log: what is in rows still, and the files. */
import { and, asc, desc, eq, gt, lt, or } from 'drizzle-orm'
import type { Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import * as models from '#core/models/models.ts'
import { cursorOf, type PageQuery, pageOf, textPosition } from '#core/page.ts'
import { isId, type SegmentId } from '#schemas/ids.ts'
import { inferenceLog, inferenceSegments } from '#schemas/tables/inference-log.ts'

type OfModel = { model: string }
type Row = typeof inferenceLog.$inferSelect

/** What is in no file yet, the newest first. */
export async function list(unit: Unit, { model, ...query }: OfModel & PageQuery) {
  await models.get(unit, { model })
  const [at, id] = textPosition('inferences', query.cursor)?.split(' ') ?? []
  const before = at ? new Date(at) : null
  const rows = await unit.tx
    .select()
    .from(inferenceLog)
    .where(
      and(
        eq(inferenceLog.model, model),
        before
          ? or(
              lt(inferenceLog.at, before),
              and(eq(inferenceLog.at, before), lt(inferenceLog.id, id!)),
            )
          : undefined,
      ),
    )
    .orderBy(desc(inferenceLog.at), desc(inferenceLog.id))
    .limit(query.limit + 1)
  const position = (row: Row) => cursorOf('inferences', `${row.at.toISOString()} ${row.id}`)
  return pageOf(rows, query, position, shown)
}

/** The files, in the order in which they were sealed. */
export async function segments(unit: Unit, { model, ...query }: OfModel & PageQuery) {
  await models.get(unit, { model })
  const after = textPosition('inference_segments', query.cursor) as SegmentId | null
  const rows = await unit.tx
    .select()
    .from(inferenceSegments)
    .where(
      and(
        eq(inferenceSegments.model, model),
        eq(inferenceSegments.state, 'sealed'),
        after ? gt(inferenceSegments.id, after) : undefined,
      ),
    )
    .orderBy(asc(inferenceSegments.id))
    .limit(query.limit + 1)
  return pageOf(
    rows,
    query,
    row => cursorOf('inference_segments', row.id),
    row => ({
      id: row.id,
      model: row.model,
      hour: row.hour.toISOString(),
      sha256: row.sha256,
      bytes: row.bytes,
      rows: row.rows,
      expires_at: row.expiresAt.toISOString(),
      sealed_at: row.sealedAt.toISOString(),
    }),
  )
}

/** Where its bytes are. Throws `not_found`. */
export async function segmentFile(unit: Unit, input: OfModel & { segment_id: string }) {
  const { segment_id: id, model } = input
  const [row] = isId('segment', id)
    ? await unit.tx.select().from(inferenceSegments).where(eq(inferenceSegments.id, id))
    : []
  if (row?.state === 'sealed' && row.model === model) {
    return { key: row.blob, size: row.bytes, format: 'parquet' as const }
  }
  throw new AppError('not_found', { public: 'There is no segment with this id.' })
}

function shown(row: Row) {
  return {
    id: row.id,
    model: row.model,
    version: row.version,
    digest: row.digest,
    at: row.at.toISOString(),
    key: row.keyId,
    receipt: row.receipt,
    features: row.features,
    subject: row.subject === null ? null : { entity: row.subjectEntity!, key: row.subject },
    rows: row.rows,
    inputs: JSON.parse(row.inputs) as unknown,
    outputs: JSON.parse(row.outputs) as unknown,
  }
}
