/**
 * What the environment says of traces, by OpenTelemetry's own names
 * (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/). Without an endpoint
 * nothing is traced. What is malformed is an error at the start, with its name and what would be right.
 */
import { AppError } from '#core/error.ts'
import type { Sampler } from './sampler.ts'

export type TraceSettings = {
  url: string
  headers: Record<string, string>
  timeoutMs: number
  serviceName: string
  /** What whoever deploys says of all its spans, as `deployment.environment.name`. */
  resource: Record<string, string>
  sampler: Sampler
}
export type TraceVariable = (typeof VARIABLES)[number]
type Variables = Partial<Record<TraceVariable, string>>

export const VARIABLES = [
  'OTEL_EXPORTER_OTLP_ENDPOINT',
  'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT',
  'OTEL_EXPORTER_OTLP_HEADERS',
  'OTEL_EXPORTER_OTLP_TRACES_HEADERS',
  'OTEL_EXPORTER_OTLP_TIMEOUT',
  'OTEL_EXPORTER_OTLP_PROTOCOL',
  'OTEL_SERVICE_NAME',
  'OTEL_RESOURCE_ATTRIBUTES',
  'OTEL_SDK_DISABLED',
  'OTEL_TRACES_SAMPLER',
  'OTEL_TRACES_SAMPLER_ARG',
] as const

const PATH = '/v1/traces'
const TIMEOUT_MS_DEFAULT = 10_000
const TIMEOUT_MS_MAX = 60_000
const SAMPLER_DEFAULT = 'parentbased_always_on'
/** The name of a header (RFC 9110 §5.6.2), and of an attribute (W3C Baggage). */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const PRINTABLE = /^[\x20-\x7e]*$/

/** `place`: what the service is called where nobody named it. Null: nothing is traced. Throws `invalid_request`. */
export function traceSettings(from: Variables, place: string): TraceSettings | null {
  const sampler = samplerOf(from)
  const headers = {
    ...headersOf(from, 'OTEL_EXPORTER_OTLP_HEADERS'),
    ...headersOf(from, 'OTEL_EXPORTER_OTLP_TRACES_HEADERS'),
  }
  const timeoutMs = timeoutOf(from)
  const url = endpointOf(from)
  if (from.OTEL_EXPORTER_OTLP_PROTOCOL === 'grpc') {
    wrong('OTEL_EXPORTER_OTLP_PROTOCOL', 'is "grpc"; traces leave by HTTP as JSON: "http/json"')
  }
  const resource = pairsOf(from, 'OTEL_RESOURCE_ATTRIBUTES')
  const isOff = from.OTEL_SDK_DISABLED?.toLowerCase() === 'true'
  if (isOff || url === null || (!sampler.followsParent && sampler.ratio === 0)) return null
  return {
    url,
    headers,
    timeoutMs,
    sampler,
    serviceName: from.OTEL_SERVICE_NAME || resource['service.name'] || `galley-${place}`,
    resource,
  }
}

function endpointOf(from: Variables): string | null {
  // Of the two the one for traces is taken as it is, the other is where all signals begin.
  const own = from.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT
  if (own) return urlOf('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', own).href
  const base = from.OTEL_EXPORTER_OTLP_ENDPOINT
  if (!base) return null
  const url = urlOf('OTEL_EXPORTER_OTLP_ENDPOINT', base)
  url.pathname = url.pathname.replace(/\/+$/, '') + PATH
  return url.href
}

function urlOf(name: TraceVariable, text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null
  const isHttp = url !== null && /^https?:$/.test(url.protocol)
  if (!isHttp) wrong(name, `is "${text}"; it must be a URL such as http://127.0.0.1:4318`)
  if (url.username || url.password) {
    wrong(name, 'has a user or a password in it; send those in OTEL_EXPORTER_OTLP_HEADERS')
  }
  return url
}

/** They are secrets: no message repeats one. */
function headersOf(from: Variables, variable: TraceVariable): Record<string, string> {
  const pairs = Object.entries(pairsOf(from, variable, PRINTABLE))
  return Object.fromEntries(pairs.map(([name, value]) => [name.toLowerCase(), value]))
}

/** Values are percent-encoded, as in W3C Baggage. */
function pairsOf(from: Variables, variable: TraceVariable, values = /^/): Record<string, string> {
  const pairs: Record<string, string> = {}
  for (const [i, entry] of (from[variable] || '').split(',').entries()) {
    if (entry.trim() === '') continue
    const at = entry.indexOf('=')
    const name = entry.slice(0, Math.max(0, at)).trim()
    const value = decoded(entry.slice(at + 1).trim())
    if (!TOKEN.test(name) || value === null || !values.test(value)) {
      wrong(
        variable,
        `has an entry ${i + 1} that is not name=value, with the value percent-encoded`,
      )
    }
    pairs[name] = value
  }
  return pairs
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}

function timeoutOf({ OTEL_EXPORTER_OTLP_TIMEOUT: text }: Variables): number {
  if (!text) return TIMEOUT_MS_DEFAULT
  const ms = Number(text)
  if (Number.isInteger(ms) && ms >= 1 && ms <= TIMEOUT_MS_MAX) return ms
  return wrong('OTEL_EXPORTER_OTLP_TIMEOUT', `is "${text}"; it must be 1 to ${TIMEOUT_MS_MAX} ms`)
}

function samplerOf(from: Variables): Sampler {
  const name = from.OTEL_TRACES_SAMPLER || SAMPLER_DEFAULT
  const followsParent = name.startsWith('parentbased_')
  switch (followsParent ? name.slice('parentbased_'.length) : name) {
    case 'always_on':
      return { ratio: 1, followsParent }
    case 'always_off':
      return { ratio: 0, followsParent }
    case 'traceidratio':
      return { ratio: ratioOf(from), followsParent }
    default:
      return wrong(
        'OTEL_TRACES_SAMPLER',
        `is "${name}"; it must be always_on, always_off or traceidratio, each with or without parentbased_ before it`,
      )
  }
}

function ratioOf({ OTEL_TRACES_SAMPLER_ARG: text }: Variables): number {
  if (!text) return 1
  const ratio = Number(text)
  if (text.trim() !== '' && ratio >= 0 && ratio <= 1) return ratio
  return wrong('OTEL_TRACES_SAMPLER_ARG', `is "${text}"; it must be a ratio from 0 to 1`)
}

function wrong(name: TraceVariable, why: string): never {
  throw new AppError('invalid_request', { public: `${name} ${why}.` })
}
