/**
 * CloudEvents 1.0 over HTTP (HTTP protocol binding §3): binary, structured and batched. Own code, for the
 * common client neither decodes header values nor keeps bytes as they were.
 */
import { AppError } from '#core/error.ts'
import type { RawEvent } from './contract.ts'

export const EVENTS_PER_REQUEST_MAX = 1_000
const STRUCTURED = /^application\/cloudevents\+json$/
const BATCHED = /^application\/cloudevents-batch\+json$/
const JSON_TYPE = /^(application\/json|[a-z0-9.+-]+\/[a-z0-9.+-]+\+json)$/
/** Headers of the binary form that mean something here; extensions that nobody asked for are let be. */
const ATTRIBUTES = ['id', 'source', 'type', 'time', 'retracts', 'specversion'] as const

type Request = { header(name: string): string | undefined; body: Uint8Array }

/** The events of a request, in order; what is in them is for the contract to judge. */
export function eventsOf({ header, body }: Request): RawEvent[] {
  const [type = ''] = (header('content-type') ?? '').toLowerCase().split(';')
  const media = type.trim()
  if (BATCHED.test(media)) return batch(jsonOf(body))
  if (STRUCTURED.test(media)) return [structured(jsonOf(body), '')]
  if (header('ce-specversion') !== undefined || header('ce-id') !== undefined) {
    return [binary(header, media, body)]
  }
  throw new AppError('unsupported_media_type', {
    public:
      'Send a CloudEvent: application/cloudevents+json, application/cloudevents-batch+json, or ce- headers with a JSON body.',
  })
}

function batch(events: unknown): RawEvent[] {
  if (!Array.isArray(events)) {
    throw new AppError('invalid_event', { public: 'A batch is a JSON array of events.' })
  }
  if (events.length > EVENTS_PER_REQUEST_MAX) {
    throw new AppError('invalid_event', {
      public: `A batch holds up to ${EVENTS_PER_REQUEST_MAX} events; this one has ${events.length}.`,
    })
  }
  return events.map((event, i) => structured(event, `/${i}`))
}

function structured(event: unknown, pointer: string): RawEvent {
  if (event === null || typeof event !== 'object' || Array.isArray(event)) {
    throw wrongAt(pointer, 'An event is a JSON object.')
  }
  const given = event as Record<string, unknown>
  mustBeVersion1(given.specversion, `${pointer}/specversion`)
  const { data, data_base64 } = given
  // JSON event format §2.2: an attribute that is null is not there.
  const [id, source, type, time, retracts] = [
    given.id ?? undefined,
    given.source ?? undefined,
    given.type ?? undefined,
    given.time ?? undefined,
    given.retracts ?? undefined,
  ]
  if (data_base64 === undefined || data_base64 === null) {
    return { id, source, type, time, retracts, data }
  }
  if (data !== undefined && data !== null) {
    throw wrongAt(`${pointer}/data_base64`, 'An event has data or data_base64, not both.')
  }
  return { id, source, type, time, retracts, data: decoded(data_base64, pointer) }
}

function binary(header: Request['header'], media: string, body: Uint8Array): RawEvent {
  const given: Record<string, string | undefined> = {}
  for (const name of ATTRIBUTES) {
    const value = header(`ce-${name}`)
    if (value !== undefined) given[name] = headerText(value, name)
  }
  mustBeVersion1(given.specversion, '/specversion')
  const { id, source, type, time, retracts } = given
  if (body.length === 0) return { id, source, type, time, retracts }
  if (!JSON_TYPE.test(media)) {
    throw new AppError('unsupported_media_type', {
      public: `The data of an event is JSON here; Content-Type is "${media}".`,
    })
  }
  return { id, source, type, time, retracts, data: jsonOf(body) }
}

/** HTTP protocol binding §3.1.3.2: quotes come off, then percent-encoded UTF-8 is decoded, once. */
function headerText(value: string, name: string): string {
  const text = /^".*"$/.test(value) ? value.slice(1, -1).replaceAll(/\\(.)/g, '$1') : value
  try {
    return decodeURIComponent(text.replaceAll(/%(?![0-9a-fA-F]{2})/g, '%25'))
  } catch {
    throw wrongAt(`/${name}`, `The header ce-${name} holds bytes that are no UTF-8.`)
  }
}

function mustBeVersion1(version: unknown, pointer: string): void {
  if (version === '1.0') return
  throw wrongAt(pointer, 'specversion must be "1.0".')
}

function decoded(text: unknown, pointer: string): unknown {
  try {
    const bytes = Uint8Array.from(atob(text as string), char => char.charCodeAt(0))
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes))
  } catch {
    throw wrongAt(`${pointer}/data_base64`, 'data_base64 must be JSON in base64.')
  }
}

function jsonOf(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(body))
  } catch (cause) {
    throw new AppError('invalid_event', {
      public: `The body is not JSON: ${(cause as Error).message}`,
    })
  }
}

function wrongAt(pointer: string, detail: string): AppError {
  return new AppError('invalid_event', { public: detail, errors: [{ pointer, detail }] })
}
