/**
 * What stands around the functions in a cloud, on loopback: PostgreSQL with the owner that RDS makes, SQS and
 * S3, Secrets Manager, and the edge's bundle in workerd.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3'
import { CreateQueueCommand, SQSClient } from '@aws-sdk/client-sqs'
import { buildApp } from 'fauxqs'
import pg from 'pg'
import { placeKey } from '#core/internal/signing.ts'
import { startPostgres } from '#local/postgres.ts'
import { bundleWorker } from '#local/workerd/bundle.ts'
import { startWorkerd, type Workerd } from '#local/workerd/instance.ts'
import { connectionOf } from '#platform/db/postgres.ts'
import {
  type FunctionName,
  type OptionalVariable,
  PARTITIONS_PER_OBJECT,
  type QueueVariable,
  queueVariable,
  timeoutS,
  VARIABLES,
  type Variable,
} from '#schemas/cloud/functions.ts'
import { QUEUES, type QueueName } from '#schemas/queues.ts'
import { serveEcs } from '../cloud/ecs/ecs-server.ts'
import { type Host, startHost } from './host.ts'
import { serveSecrets } from './secrets-server.ts'

export const SECRET = 'the secret of a deployment of the test alone'
const OWNER = { username: 'galley_owner', password: "the owner's: p/a:s@s" }
const APP_PASSWORD = "the application's: p/a:s@s"
const REGION = 'eu-central-1'
/** Neither long enough for a deployment's, nor what RDS writes for an owner. */
export const SHORT_SECRET = 'hunter2'
/** What a receiver of traces asks for. */
export const TRACES_KEY = 'Basic a key of traces'
export const BUCKET = 'galley-test-blobs'
/** As the stacks call them. */
export const RUNNERS = 'galley-test-runners'
const placeOf = (pool: string) => ({ service: `${RUNNERS}-${pool}`, floor: 0, ceiling: 4 })
const CREDENTIALS = { accessKeyId: 'test', secretAccessKey: 'test' }
const arnOf = (name: string) => `arn:aws:secretsmanager:${REGION}:123456789012:secret:${name}`

export type Cloud = Awaited<ReturnType<typeof startCloud>>

/** `bundles`: the folder with a bundle of each function. */
export async function startCloud(bundles: string) {
  const folder = mkdtempSync(join(tmpdir(), 'galley-cloud-'))
  const log = { info() {}, error() {} }
  const server = await startPostgres({ dataFolder: folder, log })
  const { host, port, user, database } = server
  const adminUrl = `postgres://${user}@localhost:${port}/${database}?host=${encodeURIComponent(host)}`
  const admin = new pg.Pool({ ...connectionOf(adminUrl), max: 2 })
  admin.on('error', () => {})
  // As RDS makes it: it owns the database and may make roles, and is no superuser.
  await admin.query(`create role ${OWNER.username} login createrole createdb
    password ${new pg.Client().escapeLiteral(OWNER.password)}`)
  await admin.query(`alter database ${database} owner to ${OWNER.username}`)

  const protocols = buildApp({ logger: false })
  const endpoint = await protocols.listen({ port: 0, host: '127.0.0.1' })
  const client = { endpoint, region: REGION, credentials: CREDENTIALS }
  const sqs = new SQSClient(client)
  const s3 = new S3Client({ ...client, forcePathStyle: true })
  await s3.send(new CreateBucketCommand({ Bucket: BUCKET }))
  const queues = {} as Record<QueueName, string>
  for (const name of Object.keys(QUEUES) as QueueName[]) {
    const { QueueUrl } = await sqs.send(
      new CreateQueueCommand({ QueueName: `galley-test-${name}` }),
    )
    // By its number: the server makes up a name that nobody here resolves.
    queues[name] = endpoint + new URL(QueueUrl!).pathname
  }
  const secrets = await serveSecrets({
    // As a file has it.
    [arnOf('deployment')]: `${SECRET}\n`,
    [arnOf('database')]: APP_PASSWORD,
    [arnOf('owner')]: JSON.stringify({ ...OWNER, engine: 'postgres' }),
    [arnOf('empty')]: null,
    [arnOf('short')]: SHORT_SECRET,
    [arnOf('traces')]: `authorization=${encodeURIComponent(TRACES_KEY)}`,
  })
  const wanted = new Map([
    [`${RUNNERS}-cpu`, 0],
    [`${RUNNERS}-gpu`, 0],
  ])
  const ecs = await serveEcs(RUNNERS, wanted)
  const values: Record<Exclude<Variable, OptionalVariable>, string> &
    Partial<Record<OptionalVariable, string>> = {
    GALLEY_DEPLOYMENT_SECRET_ARN: arnOf('deployment'),
    GALLEY_DATABASE_SECRET_ARN: arnOf('database'),
    GALLEY_OWNER_SECRET_ARN: arnOf('owner'),
    GALLEY_DATABASE_HOST: host,
    GALLEY_BUCKET: BUCKET,
    GALLEY_FEATURES_URL: 'http://127.0.0.1:9',
    GALLEY_PARTITIONS_PER_OBJECT: String(PARTITIONS_PER_OBJECT),
    GALLEY_RUNNER_CLUSTER: RUNNERS,
    GALLEY_RUNNER_CLASSES: 'cpu,gpu',
    GALLEY_RUNNER_POOLS: JSON.stringify({ cpu: placeOf('cpu'), gpu: placeOf('gpu') }),
    ...(Object.fromEntries(
      Object.entries(queues).map(([name, url]) => [queueVariable(name as QueueName), url]),
    ) as Record<QueueVariable, string>),
  }
  const hosts: Host[] = []
  let edge: Workerd | null = null

  const appUrl = new URL(adminUrl)
  appUrl.username = 'galley_app'
  return {
    admin,
    appUrl: appUrl.href,
    sqs,
    s3,
    queues,
    /** How many runners each service has been told to have. */
    wanted,
    emptySecretArn: arnOf('empty'),
    shortSecretArn: arnOf('short'),
    tracesSecretArn: arnOf('traces'),
    /** One execution environment of a function, told what the stacks tell it and nothing else. */
    async start(
      name: FunctionName,
      changed: Record<string, string | undefined> = {},
      limitS = timeoutS(name),
    ) {
      const told = Object.fromEntries(VARIABLES[name].map(variable => [variable, values[variable]]))
      const env = {
        PATH: '/usr/bin:/bin',
        AWS_REGION: REGION,
        AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
        AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
        AWS_SESSION_TOKEN: 'of the role',
        AWS_ENDPOINT_URL_SQS: endpoint,
        AWS_ENDPOINT_URL_S3: endpoint,
        AWS_ENDPOINT_URL_ECS: ecs.endpoint,
        AWS_ENDPOINT_URL_SECRETS_MANAGER: secrets.url,
        ...told,
        ...changed,
      }
      const given = Object.entries(env).filter(([, value]) => value !== undefined)
      const started = await startHost({
        bundle: join(bundles, name),
        name: `galley-test-${name}`,
        timeoutS: limitS,
        env: Object.fromEntries(given) as Record<string, string>,
      })
      hosts.push(started)
      return started
    },
    /** The edge in front, at whose objects functions find the features from now on. */
    async startEdge(functionsUrl: string, more: Record<string, string> = {}): Promise<Workerd> {
      const bindings = {
        ...more,
        FUNCTIONS_URL: functionsUrl,
        ROUTER_URL: 'http://127.0.0.1:9',
        EDGE_KEY: await placeKey(SECRET, 'edge'),
        FUNCTIONS_KEY: await placeKey(SECRET, 'functions'),
        PARTITIONS_PER_OBJECT: String(PARTITIONS_PER_OBJECT),
      }
      edge = await startWorkerd({
        bundle: await bundleWorker(join(folder, 'edge')),
        host: '127.0.0.1',
        port: 0,
        folder: join(folder, 'objects'),
        temporaryFolder: join(folder, 'temporary'),
        bindings,
        log,
      })
      values.GALLEY_FEATURES_URL = edge.url
      return edge
    },
    async close() {
      await edge?.close()
      await Promise.all(hosts.map(each => each.close()))
      secrets.close()
      await ecs.close()
      await protocols.close()
      await admin.end()
      await server.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
