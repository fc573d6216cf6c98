/** What a function on Lambda is told by its environment, parsed once as it starts. */
import * as z from 'zod'
import { QUEUE_VARIABLES, queueUrls } from '#platform/queue/open.ts'
import type { QueueUrls } from '#platform/queue/sqs.ts'
import { type TraceSettings, traceSettings } from '#platform/traces/settings.ts'
import type { Variable } from '#schemas/cloud/functions.ts'
import { POOL_PRICES, type PoolName, type PoolPlace } from '#schemas/cloud/pools.ts'

const arn = z.string({ error: 'must name a secret by its ARN' }).startsWith('arn:')
const url = z.url({ protocol: /^https?$/, error: 'must be a URL' })
const text = z.string({ error: 'must be set' }).min(1)

const pool = z.object({
  service: z.string().min(1),
  floor: z.int().min(0),
  ceiling: z.int().min(1),
}) satisfies z.ZodType<PoolPlace>
const pools = text
  .transform((given, context) => {
    try {
      return JSON.parse(given) as unknown
    } catch {
      context.addIssue({ code: 'custom', message: 'must be JSON' })
      return z.NEVER
    }
  })
  .pipe(z.partialRecord(z.enum(Object.keys(POOL_PRICES) as PoolName[]), pool))

const PLACES = {
  GALLEY_DEPLOYMENT_SECRET_ARN: arn,
  GALLEY_DATABASE_SECRET_ARN: arn,
  /** Of the role that owns the schema; RDS keeps it. */
  GALLEY_OWNER_SECRET_ARN: arn,
  /** A name, or the folder of a server's socket on this machine. */
  GALLEY_DATABASE_HOST: text,
  GALLEY_BUCKET: text,
  /** Of the Worker that has the objects. */
  GALLEY_FEATURES_URL: url,
  GALLEY_PARTITIONS_PER_OBJECT: z.coerce.number().int().min(1).max(1024),
  /** Of ECS, in which the services of runners are. */
  GALLEY_RUNNER_CLUSTER: text,
  /** Those of which there can be runners, as in `cpu,gpu`. */
  GALLEY_RUNNER_CLASSES: text
    .transform(given => given.split(','))
    .pipe(z.array(z.enum(Object.keys(POOL_PRICES) as PoolName[]))),
  /** As JSON, by class of hardware: `{"cpu":{"service":"…","floor":0,"ceiling":8}}`. */
  GALLEY_RUNNER_POOLS: pools,
  /** Of the headers that a receiver of traces asks for, where there is one and it asks for any. */
  GALLEY_TRACE_HEADERS_SECRET_ARN: arn.optional(),
} satisfies Partial<Record<Variable, z.ZodType>>

type Places = { [N in keyof typeof PLACES]: z.output<(typeof PLACES)[N]> }

/** The variables that a function needs. Throws one error that names each which is missing or wrong. */
export function readPlaces<N extends keyof Places>(
  names: readonly N[],
  from: Record<string, string | undefined> = process.env,
): Pick<Places, N> {
  const shape = Object.fromEntries(names.map(name => [name, PLACES[name]]))
  return parsed(z.object(shape), from) as Pick<Places, N>
}

/** Where each queue is. Throws where one is not named. */
export function readQueues(from: Record<string, string | undefined> = process.env): QueueUrls {
  const urls = queueUrls(from)
  if (urls) return urls
  throw new Error(`The environment of the function names no queue: ${QUEUE_VARIABLES.join(', ')}.`)
}

/** Where spans go, by OpenTelemetry's own names; the headers are a secret, which is read first. */
export function readTraces(from: Record<string, string | undefined> = process.env) {
  const { GALLEY_TRACE_HEADERS_SECRET_ARN: headersArn } = readPlaces(
    ['GALLEY_TRACE_HEADERS_SECRET_ARN'],
    from,
  )
  return {
    headersArn,
    settingsWith(headers = ''): TraceSettings | null {
      return traceSettings({ ...from, OTEL_EXPORTER_OTLP_HEADERS: headers }, 'functions')
    },
    environment: environmentIn(from),
  }
}

/** One environment of a function, as Lambda tells it; the rest in OpenTelemetry's names of a resource. */
export type Environment = { instance: string; resource: Record<string, string> }

function environmentIn(from: Record<string, string | undefined>): Environment {
  const told = {
    'faas.name': from.AWS_LAMBDA_FUNCTION_NAME,
    'faas.version': from.AWS_LAMBDA_FUNCTION_VERSION,
    'cloud.region': from.AWS_REGION,
  }
  const known = Object.entries(told).filter(([, value]) => value) as [string, string][]
  return {
    instance: from.AWS_LAMBDA_LOG_STREAM_NAME ?? crypto.randomUUID(),
    resource: {
      'cloud.provider': 'aws',
      'cloud.platform': 'aws_lambda',
      ...Object.fromEntries(known),
    },
  }
}

function parsed<T>(schema: z.ZodType<T>, from: Record<string, string | undefined>): T {
  const { success, data, error } = schema.safeParse(from)
  if (success) return data
  throw new Error(`The environment of the function is not complete:\n${z.prettifyError(error)}`)
}
