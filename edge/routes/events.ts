/** Events at the edge: read, held against their contracts, and acknowledged once they are durable. */
import type { Context } from 'hono'
import type { Call } from '#core/caller.ts'
import { CARRIED_BYTES_MAX, inCarried } from '#core/carried.ts'
import { AppError, type FieldError } from '#core/error.ts'
import { eventsOf } from '#core/events/cloudevents.ts'
import { checkedEvent, type RawEvent } from '#core/events/contract.ts'
import { textOf } from '#core/events/time.ts'
import { EVENTS_BODY_BYTES_MAX } from '#schemas/contracts/events.ts'
import type { Event, Position } from '#schemas/event.ts'
import type { EdgeDeps } from '../deps.ts'
import type { EventTypeDirectory } from '../event-type-directory.ts'
import { ask } from '../functions-client.ts'

const ERRORS_SHOWN_MAX = 100
/** What an event has more than was sent: names, times, and the entities that it tells about. */
const ADDED_BYTES_MAX = 600

type Result = { index: number; status: string; code?: string; detail?: string }
type Judged = { index: number; event: Event } | { index: number; errors: FieldError[] }

export async function send(
  deps: EdgeDeps,
  types: EventTypeDirectory,
  c: Context,
  call: Call,
): Promise<Response> {
  const { partial, wait } = flagsOf(c)
  const body = await deps.http.body(c, EVENTS_BODY_BYTES_MAX)
  const header = (name: string) => deps.http.header(c, name)
  const raw = eventsOf({ header, body })
  const judged = await judge(deps, types, call, raw)
  const good = judged.flatMap(each => ('event' in each ? [each] : []))
  const bad = judged.flatMap(each => ('errors' in each ? [each] : []))
  if (bad.length > 0 && !partial) throw invalid(bad, raw.length)
  const counts = { accepted: good.length, rejected: bad.length }
  const events = good.map(({ event }) => event)
  const runs = runsOf(events, body.byteLength)
  if (wait) return waited(deps, call, { good, bad, partial, runs })
  const { caller, trace } = call
  for (const run of runs) {
    await ask(deps, '/internal/events/accept', { tenantId: caller.tenantId, events: run, trace })
  }
  const results = partial
    ? [...good.map(({ index }): Result => ({ index, status: 'accepted' })), ...bad.map(rejection)]
    : undefined
  return Response.json({ ...counts, results: results?.sort(byIndex) }, { status: 202 })
}

type Split = {
  good: { index: number; event: Event }[]
  bad: { index: number; errors: FieldError[] }[]
  partial: boolean
  /** The good events, as they are carried on. */
  runs: Event[][]
}

/** The same, but answered when the objects have applied them. */
async function waited(
  deps: EdgeDeps,
  call: Call,
  { good, bad, partial, runs }: Split,
): Promise<Response> {
  const events = good.map(({ event }) => event)
  const outcomes: string[] = []
  const positions: Position[] = []
  for (const run of runs) {
    const input = { tenantId: call.caller.tenantId, events: run, trace: call.trace }
    const path = '/internal/events/ingest'
    const done = await ask<{ outcomes: string[]; positions: Position[] }>(deps, path, input)
    outcomes.push(...done.outcomes)
    positions.push(...done.positions)
  }
  const conflicts = good.filter((_, i) => outcomes[i] === 'conflict')
  if (conflicts.length > 0 && !partial) {
    const { source, id } = conflicts[0]!.event
    throw new AppError('event_conflict', {
      public: `An event with source "${source}" and id "${id}" was stored before with another body${conflicts.length > 1 ? `, and ${conflicts.length - 1} more` : ''}; the others are stored.`,
      errors: conflicts.map(({ index }) => ({ pointer: `/${index}`, detail: 'another body' })),
    })
  }
  const byKey = new Map(events.map(event => [event.key, event]))
  const results = good.map(({ index }, i) => resultOf(index, outcomes[i]!))
  const count = (status: string) => results.filter(result => result.status === status).length
  return Response.json({
    accepted: count('accepted'),
    duplicates: count('duplicate'),
    rejected: count('rejected') + bad.length,
    results: partial ? [...results, ...bad.map(rejection)].sort(byIndex) : undefined,
    positions: positions.flatMap(position => shown(position, byKey)),
  })
}

/** As few calls as can be: what was sent is short enough almost always, and then nothing is measured. */
function runsOf(events: Event[], sentBytes: number): Event[][] {
  if (events.length === 0) return []
  if (sentBytes * 2 + events.length * ADDED_BYTES_MAX < CARRIED_BYTES_MAX) return [events]
  return inCarried(events)
}

async function judge(
  deps: EdgeDeps,
  types: EventTypeDirectory,
  call: Call,
  raw: RawEvent[],
): Promise<Judged[]> {
  const { tenantId } = call.caller
  const receivedAt = deps.clock.now() * 1_000
  const names = new Set(raw.flatMap(({ type }) => (typeof type === 'string' ? [type] : [])))
  const found = await Promise.all(
    [...names].map(async name => [name, await types.resolve(call.caller, name)] as const),
  )
  const known = new Map(found)
  return raw.map((each, index): Judged => {
    const type = typeof each.type === 'string' ? known.get(each.type) : null
    if (!type) return { index, errors: [{ pointer: '/type', detail: unknownType(each.type) }] }
    const about = { tenantId, receivedAt: receivedAt + (index % 1_000) }
    return { index, ...checkedEvent(type, each, about) }
  })
}

function unknownType(type: unknown): string {
  if (typeof type !== 'string' || type === '') return '"type" must be a text that is not empty.'
  return `There is no event type "${type.slice(0, 100)}"; declare it first, by PUT /v1/event-types/${type.slice(0, 100)}.`
}

function invalid(bad: Split['bad'], count: number): AppError {
  const errors = bad
    .flatMap(({ index, errors }) =>
      errors.map(({ pointer, detail }) => ({
        pointer: count === 1 ? pointer : `/${index}${pointer}`,
        detail,
      })),
    )
    .slice(0, ERRORS_SHOWN_MAX)
  const [first] = errors
  const rest = count === 1 ? '' : ` ${bad.length} of ${count} events do not fit; none was taken.`
  return new AppError('invalid_event', {
    public: `${first!.pointer}: ${first!.detail}${rest}`,
    errors,
  })
}

function rejection({ index, errors }: Split['bad'][number]): Result {
  const detail = errors.map(error => `${error.pointer}: ${error.detail}`).join(' ')
  return { index, status: 'rejected', code: 'invalid_event', detail }
}

function resultOf(index: number, outcome: string): Result {
  if (outcome === 'conflict') {
    const detail = 'An event with this source and id was stored before, with another body.'
    return { index, status: 'rejected', code: 'event_conflict', detail }
  }
  return { index, status: outcome === 'stored' ? 'accepted' : 'duplicate' }
}

function shown(position: Position, byKey: ReadonlyMap<string, Event>) {
  const event = byKey.get(position.eventKey)
  if (!event) return []
  const { entity, entityKey, partition, seq, knownAt } = position
  return [
    {
      source: event.source,
      id: event.id,
      entity,
      entity_key: entityKey,
      partition,
      seq,
      known_at: textOf(knownAt),
    },
  ]
}

function byIndex(a: Result, b: Result): number {
  return a.index - b.index
}

function flagsOf(c: Context): { partial: boolean; wait: boolean } {
  const query = new URL(c.req.url).searchParams
  const flag = (name: string) => {
    const value = query.get(name)
    if (value === null || value === 'true' || value === 'false') return value === 'true'
    throw new AppError('invalid_request', {
      public: `${name} must be true or false; it is "${value}".`,
    })
  }
  return { partial: flag('partial'), wait: flag('wait') }
}
