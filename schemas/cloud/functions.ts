/**
 * The functions of a cloud, and what each is told by its environment, as data: bundles, stacks and the host
 * that runs them here read the same table.
 */
import { QUEUES, type QueueName } from '../queues.ts'
import { SCHEDULES } from '../schedules.ts'

type Read = {
  [N in keyof typeof QUEUES]: (typeof QUEUES)[N] extends { source: { function: infer F } }
    ? F
    : never
}[keyof typeof QUEUES]
/** Who answers requests, who brings the schema up to date, who reads a queue, and who is called by the clock. */
export type FunctionName = 'api' | 'migrate' | Read | keyof typeof SCHEDULES

/** The variable that holds the URL of a queue. */
export const queueVariable = <N extends QueueName>(name: N) =>
  `GALLEY_QUEUE_${name.replace('-', '_').toUpperCase()}` as QueueVariable<N>
export type QueueVariable<N extends QueueName = QueueName> =
  `GALLEY_QUEUE_${Uppercase<N extends `${infer W}-${infer L}` ? `${W}_${L}` : N>}`
/** Variables that name a secret: who is told of it may read it, and nobody else. */
export type SecretVariable =
  | 'GALLEY_DEPLOYMENT_SECRET_ARN'
  | 'GALLEY_DATABASE_SECRET_ARN'
  | 'GALLEY_OWNER_SECRET_ARN'
  | 'GALLEY_TRACE_HEADERS_SECRET_ARN'
/** OpenTelemetry's own; a deployment that traces nothing tells none of them. */
export type TraceVariable =
  | 'OTEL_EXPORTER_OTLP_ENDPOINT'
  | 'OTEL_RESOURCE_ATTRIBUTES'
  | 'OTEL_TRACES_SAMPLER'
  | 'OTEL_TRACES_SAMPLER_ARG'
/** A deployment may have none of them. */
export type OptionalVariable = TraceVariable | 'GALLEY_TRACE_HEADERS_SECRET_ARN'
export type Variable =
  | SecretVariable
  | QueueVariable
  | TraceVariable
  | 'GALLEY_DATABASE_HOST'
  | 'GALLEY_BUCKET'
  | 'GALLEY_FEATURES_URL'
  | 'GALLEY_PARTITIONS_PER_OBJECT'
  | 'GALLEY_RUNNER_CLUSTER'
  | 'GALLEY_RUNNER_POOLS'
  | 'GALLEY_RUNNER_CLASSES'

/** Of a tenant's 1,024; the Worker is told the same in `wrangler.toml`. It never changes once there is data. */
export const PARTITIONS_PER_OBJECT = 1

const QUEUE_URLS = (Object.keys(QUEUES) as QueueName[]).map(name => queueVariable(name))
const DATABASE: Variable[] = [
  'GALLEY_DEPLOYMENT_SECRET_ARN',
  'GALLEY_DATABASE_SECRET_ARN',
  'GALLEY_DATABASE_HOST',
]
const TRACES: OptionalVariable[] = [
  'OTEL_EXPORTER_OTLP_ENDPOINT',
  'OTEL_RESOURCE_ATTRIBUTES',
  'OTEL_TRACES_SAMPLER',
  'OTEL_TRACES_SAMPLER_ARG',
  'GALLEY_TRACE_HEADERS_SECRET_ARN',
]
const FEATURES: Variable[] = ['GALLEY_FEATURES_URL', 'GALLEY_PARTITIONS_PER_OBJECT']

export const VARIABLES: Record<FunctionName, Variable[]> = {
  api: [
    ...DATABASE,
    ...TRACES,
    ...FEATURES,
    ...QUEUE_URLS,
    'GALLEY_BUCKET',
    'GALLEY_RUNNER_CLASSES',
  ],
  ingest: [...DATABASE, ...TRACES, ...FEATURES, 'GALLEY_BUCKET'],
  verify: [...DATABASE, ...TRACES, ...QUEUE_URLS, 'GALLEY_BUCKET'],
  relay: [...DATABASE, ...TRACES, ...QUEUE_URLS, 'GALLEY_BUCKET'],
  sweep: [...DATABASE, ...TRACES, ...FEATURES],
  capacity: [...DATABASE, ...TRACES, 'GALLEY_RUNNER_CLUSTER', 'GALLEY_RUNNER_POOLS'],
  tend: [...DATABASE, ...TRACES, ...FEATURES, 'GALLEY_BUCKET'],
  migrate: ['GALLEY_OWNER_SECRET_ARN', 'GALLEY_DATABASE_SECRET_ARN', 'GALLEY_DATABASE_HOST'],
}
export const FUNCTION_NAMES = Object.keys(VARIABLES) as FunctionName[]

/** For those that neither a queue nor a schedule gives a time. */
export const TIMEOUTS_S = {
  /** Less than its gateway waits. */
  api: 29,
  /** The longest that there is. */
  migrate: 900,
}

/** After which an invocation is ended. */
export function timeoutS(name: FunctionName): number {
  if (name in TIMEOUTS_S) return TIMEOUTS_S[name as keyof typeof TIMEOUTS_S]
  if (name in SCHEDULES) return SCHEDULES[name as keyof typeof SCHEDULES].timeoutS
  for (const queue of Object.values(QUEUES)) {
    if ('source' in queue && queue.source.function === name) return queue.source.timeoutS
  }
  throw new Error(`No table says how long ${name} may take.`)
}
