/** Features, read as of now. The body is looked at by hand: this is asked thousands of times a second. */
import type { Context } from 'hono'
import type { Call } from '#core/caller.ts'
import type { EntityRead } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { textOf } from '#core/events/time.ts'
import { type Show, showAs } from '#core/features/explain/shown.ts'
import type { EdgeDeps } from '../deps.ts'
import { type MinSeq, readRows } from '../features/read.ts'
import { invalidAt, keysOf, type Reader } from '../features/reader.ts'
import type { Sampler } from '../features/sampler.ts'
import type { ServiceDirectory } from '../features/service-directory.ts'
import { featuresFor } from '../traces/features.ts'

const BODY_BYTES_MAX = 1 << 20
const ROWS_MAX = 1_000
const decoder = new TextDecoder()

type Asked = { entities: Record<string, unknown>[]; request: unknown[]; minSeq: MinSeq }

export async function read(
  { deps, services, sampler }: { deps: EdgeDeps; services: ServiceDirectory; sampler: Sampler },
  c: Context,
  call: Call,
): Promise<Response> {
  const { tenantId } = call.caller
  const reader = await services.resolve(call.caller, c.req.param('service')!)
  const { entities, request, minSeq } = asked(await deps.http.body(c, BODY_BYTES_MAX))
  const keys = entities.map((row, i) => keysOf(reader, row, `/entities/${i}`))
  const fields = entities.map((_, i) => reader.request(request[i], `/request/${i}`))
  const reads = await readRows(featuresFor(deps, call), tenantId, reader, keys, minSeq)
  sampler.see(call.caller, reader, reads)
  const shows = showsOf(reader)
  const results = reads.map((row, i) => {
    const byEntity = new Map(row.map(each => [each.entity, each]))
    const { values, statuses } = reader.row(byEntity, fields[i]!)
    for (let j = 0; j < values.length; j++) values[j] = shows[j]!(values[j]!)
    return { values, statuses, freshness: row.map(freshness) }
  })
  const { service, version, hash } = reader.plan
  const features = reader.outputs.map(({ name }) => name)
  const headers = { 'content-type': 'application/json', 'galley-request-id': call.requestId }
  const body = JSON.stringify({ service, version, hash, features, results })
  return deps.http.reply(c, 200, headers, body)
}

const shown = new WeakMap<Reader, Show[]>()

function showsOf(reader: Reader): Show[] {
  const known = shown.get(reader)
  if (known) return known
  const shows = reader.outputs.map(({ type }) => showAs(type))
  shown.set(reader, shows)
  return shows
}

function freshness({ entity, entityKey, partition, seq, at }: EntityRead) {
  return { entity, entity_key: entityKey, partition, seq, at: textOf(at) }
}

function asked(body: Uint8Array): Asked {
  const given = jsonOf(body)
  const { entities, request = [], min_seq: minSeq = {}, ...rest } = given
  const [unknown] = Object.keys(rest)
  if (unknown !== undefined) {
    throw invalidAt(`/${unknown}`, 'A read takes entities, request and min_seq.')
  }
  if (!Array.isArray(entities) || entities.length < 1 || entities.length > ROWS_MAX) {
    throw invalidAt(
      '/entities',
      `A list of 1 to ${ROWS_MAX} rows is needed, such as [{"card": "c1"}].`,
    )
  }
  for (const [i, row] of entities.entries()) {
    if (!isObject(row)) throw invalidAt(`/entities/${i}`, 'A row is an object of entity and key.')
  }
  if (!Array.isArray(request) || (request.length > 0 && request.length !== entities.length)) {
    throw invalidAt('/request', `One object per row is needed: ${entities.length}.`)
  }
  if (!isObject(minSeq) || !Object.values(minSeq).every(Number.isSafeInteger)) {
    throw invalidAt('/min_seq', 'min_seq is an object of partition and seq.')
  }
  return { entities, request, minSeq: minSeq as MinSeq }
}

function jsonOf(body: Uint8Array): Record<string, unknown> {
  let given: unknown
  try {
    given = JSON.parse(decoder.decode(body))
  } catch (cause) {
    const detail = `The body is not JSON: ${(cause as Error).message}`
    throw new AppError('invalid_body', { public: detail })
  }
  if (isObject(given)) return given
  throw new AppError('invalid_body', { public: 'The body must be a JSON object.' })
}

function isObject(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}
