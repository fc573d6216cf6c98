/** Reads in the form of Feast's feature server: columns of keys in, columns of features out. */
import type { Context } from 'hono'
import type { Call } from '#core/caller.ts'
import type { EntityKey, EntityRead } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { RowValues } from '#core/features/reader.ts'
import type { EdgeDeps } from '../deps.ts'
import { columnText, givenText } from '../features/feast-columns.ts'
import type { Asked, FeastDirectory, FeastReader } from '../features/feast-directory.ts'
import { readRows } from '../features/read.ts'
import { invalidAt, isKeyPart } from '../features/reader.ts'
import type { Sampler } from '../features/sampler.ts'
import { featuresFor } from '../traces/features.ts'

const BODY_BYTES_MAX = 1 << 20
const ROWS_MAX = 1_000

/** What a client of Feast may ask for besides, and is told why not. */
const ABSENT: Record<string, string> = {
  push: 'Features follow from events here: send them to POST /v1/events.',
  'write-to-online-store': 'Features follow from events here: send them to POST /v1/events.',
  materialize: 'Features are always current here: there is nothing to materialize.',
  'materialize-incremental': 'Features are always current here: there is nothing to materialize.',
  search: 'Vectors are not searched here.',
  'retrieve-online-documents': 'Vectors are not searched here.',
}

type Columns = Record<string, unknown[]>
type Request = {
  asked: Asked
  columns: Columns
  rows: number
  isFull: boolean
  isVersioned: boolean
}

export async function read(
  { deps, feast, sampler }: { deps: EdgeDeps; feast: FeastDirectory; sampler: Sampler },
  c: Context,
  call: Call,
): Promise<Response> {
  const { tenantId } = call.caller
  const request = requestOf(await deps.http.body(c, BODY_BYTES_MAX))
  const found = await feast.resolve(call.caller, request.asked)
  const { reader } = found
  mustDiffer(found, request)
  const { keys, given } = keysOf(found, request)
  const fields = fieldsOf(found, request)
  const reads = await readRows(featuresFor(deps, call), tenantId, reader, keys)
  sampler.see(call.caller, reader, reads)
  const rows = reads.map((row, i) => {
    const byEntity = new Map(row.map(each => [each.entity, each]))
    return { values: reader.row(byEntity, fields[i]!), at: row[0]!.at, byEntity }
  })
  const headers = { 'content-type': 'application/json', 'galley-request-id': call.requestId }
  return deps.http.reply(c, 200, headers, bodyOf(found, request, given, rows))
}

/** Undefined: it is not one of those. */
export function absence(path: string): string | undefined {
  const [, first, name = '', ...rest] = path.split('/')
  if (first !== 'feast' || rest.length > 0 || !Object.hasOwn(ABSENT, name)) return undefined
  return ABSENT[name]
}

/** Who asks finds columns by their names. */
function mustDiffer({ twice, fullTwice }: FeastReader, { isFull }: Request): void {
  const [name] = isFull ? fullTwice : twice
  if (name === undefined) return
  const right = isFull ? 'ask for them one after the other' : 'ask with full_feature_names'
  throw invalidAt('/full_feature_names', `Two features would be called "${name}": ${right}.`)
}

type Row = { values: RowValues; at: number; byEntity: ReadonlyMap<string, EntityRead> }

function bodyOf(
  { outputs, views }: FeastReader,
  { columns, isFull, isVersioned }: Request,
  given: string[],
  rows: Row[],
): string {
  const results = given.map(name => givenText(columns[name]!))
  for (const { at, isTransform, write } of outputs) {
    const column = {
      values: rows.map(({ values }) => values.values[at]!),
      statuses: rows.map(({ values }) => values.statuses[at]!),
      // Of a window that is read at a time: that time. Of what is computed then: none, as there.
      times: rows.map(({ values, at: readAt }) =>
        isTransform || values.statuses[at] === 'NOT_FOUND'
          ? null
          : (values.eventTimes[at] ?? readAt),
      ),
    }
    results.push(columnText(column, write))
  }
  const names = outputs.map(({ name, fullName }) => (isFull ? fullName : name))
  const metadata = {
    feature_names: [...given, ...names],
    ...(isVersioned && { feature_view_metadata: views }),
  }
  return `{"results":[${results.join()}],"metadata":${JSON.stringify(metadata)}}`
}

/** Each row's keys in the order of the reader's entities, and the columns that they stand in. */
function keysOf({ reader, joinKeys }: FeastReader, { columns, rows }: Request) {
  const used = new Set<string>()
  const sources = reader.entities.map(entity => {
    const ways = [[entity], ...(joinKeys[entity] ?? [])]
    const names = ways.find(way => way.every(name => Object.hasOwn(columns, name)))
    if (!names) {
      const wanted = [...new Set(ways.map(way => way.join(' and ')))].join(', or ')
      throw invalidAt(
        '/entities',
        `Features of "${entity}" are read, and its key is missing: give a column of ${wanted}.`,
      )
    }
    for (const name of names) used.add(name)
    return { entity, names }
  })
  const keys = Array.from({ length: rows }, (_, row) =>
    sources.map(({ entity, names }): EntityKey => {
      const parts = names.flatMap(name => keyParts(columns[name]![row], `/entities/${name}/${row}`))
      const isSeveral = names.length > 1 || Array.isArray(columns[names[0]!]![row])
      return { entity, entityKey: isSeveral ? JSON.stringify(parts) : parts[0]! }
    }),
  )
  return { keys, given: Object.keys(columns).filter(name => used.has(name)) }
}

function keyParts(value: unknown, pointer: string): string[] {
  const parts = Array.isArray(value) ? value : [value]
  if (parts.length > 0 && parts.every(isKeyPart)) return parts.map(String)
  throw invalidAt(pointer, 'A key must be a text, a whole number or a list of them.')
}

/** Each row's fields of the request, in stored form. */
function fieldsOf({ reader }: FeastReader, { columns, rows }: Request) {
  const names = Object.keys(reader.plan.request)
  const missing = names.find(name => !Object.hasOwn(columns, name))
  if (missing !== undefined) {
    throw invalidAt('/entities', `The service takes "${missing}" with the request: give a column.`)
  }
  return Array.from({ length: rows }, (_, row) => {
    const given = Object.fromEntries(names.map(name => [name, columns[name]![row]]))
    return reader.request(given, `/entities/${row}`)
  })
}

function requestOf(body: Uint8Array): Request {
  const given = jsonOf(body)
  const { entities, feature_service: service, features = [], request_context: context } = given
  const columns = { ...columnsOf(entities, '/entities') }
  if (context !== undefined && context !== null) {
    Object.assign(columns, columnsOf(context, '/request_context'))
  }
  const lengths = Object.entries(columns).map(([name, column]) => [name, column.length] as const)
  const [[first, rows] = ['', 0]] = lengths
  const other = lengths.find(([, length]) => length !== rows)
  if (other) {
    const detail = `Each column has one element per row: "${first}" has ${rows}, "${other[0]}" ${other[1]}.`
    throw invalidAt('/entities', detail)
  }
  if (rows < 1 || rows > ROWS_MAX) {
    throw invalidAt('/entities', `1 to ${ROWS_MAX} rows are read at once; these are ${rows}.`)
  }
  const isFull = given.full_feature_names === true
  const isVersioned = given.include_feature_view_version_metadata === true
  return { asked: askedOf(service, features), columns, rows, isFull, isVersioned }
}

function askedOf(service: unknown, features: unknown): Asked {
  if (typeof service === 'string' && service !== '') return { service }
  if (!Array.isArray(features) || !features.every(each => typeof each === 'string')) {
    throw invalidAt('/features', 'features is a list of texts such as "view:feature".')
  }
  if (features.length > 0) return { features }
  throw invalidAt('/features', 'Say what to read: features, or a feature_service.')
}

function columnsOf(given: unknown, pointer: string): Columns {
  const isColumns =
    given !== null &&
    typeof given === 'object' &&
    !Array.isArray(given) &&
    Object.values(given).every(Array.isArray)
  if (isColumns) return given as Columns
  throw invalidAt(
    pointer,
    'Columns are needed: an object of lists, such as {"card": ["c1", "c2"]}.',
  )
}

function jsonOf(body: Uint8Array): Record<string, unknown> {
  let given: unknown
  try {
    given = JSON.parse(new TextDecoder().decode(body))
  } catch (cause) {
    const detail = `The body is not JSON: ${(cause as Error).message}`
    throw new AppError('invalid_body', { public: detail })
  }
  if (given !== null && typeof given === 'object') return given as Record<string, unknown>
  throw new AppError('invalid_body', { public: 'The body must be a JSON object.' })
}
