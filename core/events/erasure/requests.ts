/** Who asks to be forgotten, and how far that has come. What is told of a subject here is its hash alone. */
import { asc, desc, eq, lt, ne, sql } from 'drizzle-orm'
import type { Call } from '#core/caller.ts'
import type { Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { cursorOf, type PageQuery, pageOf, textPosition } from '#core/page.ts'
import { audit } from '#core/tenants/tenants.ts'
import { type ErasureId, isId, newId, type TenantId } from '#schemas/ids.ts'
import { eventTypes } from '#schemas/tables/events.ts'
import { eventErasures } from '#schemas/tables/segments.ts'
import { keyText } from '../contract.ts'
import { hash128 } from '../sha256.ts'

export type Erasure = typeof eventErasures.$inferSelect
const OPEN_MAX = 100
type Part = string | number | boolean
type Asked = { entity: string; key: Part | Part[] }

/** Throws `not_found` for an entity that no event tells about. */
export async function requestErasure(unit: Unit, call: Call, { entity, key }: Asked) {
  const { tenantId } = call.caller
  const definitions = await unit.tx.select({ type: eventTypes.definition }).from(eventTypes)
  const forms = definitions.flatMap(({ type }) =>
    Object.hasOwn(type.entities, entity) ? [type.entities[entity]!] : [],
  )
  const isLogged = forms.length === 0 && !Array.isArray(key) && (await isInferred(unit, entity))
  if (forms.length === 0 && !isLogged) {
    throw new AppError('not_found', { public: `No event type tells about an entity "${entity}".` })
  }
  const parts = Array.isArray(key) ? key.length : 0
  if (!isLogged && !forms.some(form => (Array.isArray(form) ? form.length : 0) === parts)) {
    const fields = [forms[0]!].flat().join(', ')
    throw new AppError('invalid_request', {
      public: `The key of "${entity}" is made of ${fields}: send ${Array.isArray(forms[0]) ? 'a list of them' : 'its value alone'} as key.`,
    })
  }
  const subject = Array.isArray(key) ? JSON.stringify(key.map(keyText)) : keyText(key)!
  const subjectHash = subjectHashOf(tenantId, entity, subject)
  const createdAt = new Date(unit.clock.now())
  const row: Erasure = {
    tenantId,
    id: newId('erasure', unit.clock.now()),
    entity,
    subject,
    subjectHash,
    state: 'queued',
    erased: { events: 0, segments: 0, decisions: 0, rejections: 0 },
    createdAt,
    finishedAt: null,
  }
  await unit.tx.insert(eventErasures).values(row)
  const detail = { entity, subject_hash: subjectHash }
  await audit.record(unit, call, { action: 'events.erase', target: row.id, detail })
  return shown(row)
}

/** Whether models are asked about such entities, and that is kept. */
async function isInferred({ tx }: Unit, entity: string): Promise<boolean> {
  const { rows } = await tx.execute(sql`
    select from model_serving where inference_log->'subject'->>'entity' = ${entity}
    union all select from inference_log where subject_entity = ${entity}
    union all select from inference_segments where ${entity} = any(subject_entities) limit 1`)
  return rows.length > 0
}

export async function erasures(unit: Unit, query: PageQuery) {
  const after = textPosition('event_erasures', query.cursor) as ErasureId | null
  const rows = await unit.tx
    .select()
    .from(eventErasures)
    .where(after ? lt(eventErasures.id, after) : undefined)
    .orderBy(desc(eventErasures.id))
    .limit(query.limit + 1)
  return pageOf(rows, query, row => cursorOf('event_erasures', row.id), shown)
}

export async function erasure(unit: Unit, { erasure_id: id }: { erasure_id: string }) {
  const [row] = isId('erasure', id)
    ? await unit.tx.select().from(eventErasures).where(eq(eventErasures.id, id))
    : []
  if (row) return shown(row)
  throw new AppError('not_found', { public: 'There is no erasure with this id.' })
}

/** Those that are not done, in the order in which they were asked for. */
export function openErasures({ tx }: Pick<Unit, 'tx'>): Promise<Erasure[]> {
  return tx
    .select()
    .from(eventErasures)
    .where(ne(eventErasures.state, 'done'))
    .orderBy(asc(eventErasures.id))
    .limit(OPEN_MAX)
}

/** Of low entropy as subjects are, it is told only to who may read the log. */
function subjectHashOf(tenantId: TenantId, entity: string, subject: string): string {
  return hash128(tenantId, 'erasure', entity, subject)
}

function shown(row: Erasure) {
  return {
    id: row.id,
    entity: row.entity,
    subject_hash: row.subjectHash,
    state: row.state,
    erased: row.erased,
    created_at: row.createdAt.toISOString(),
    finished_at: row.finishedAt?.toISOString() ?? null,
  }
}
