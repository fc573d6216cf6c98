/** Functions on Lambda, one by one with what each may touch: the tables of queues and schedules name them. */
import * as cloudwatch from '@pulumi/aws/cloudwatch/index.js'
import * as lambda from '@pulumi/aws/lambda/index.js'
import type * as rds from '@pulumi/aws/rds/index.js'
import * as pulumi from '@pulumi/pulumi'
import {
  type FunctionName,
  PARTITIONS_PER_OBJECT,
  queueVariable,
  type SecretVariable,
  timeoutS,
  VARIABLES,
  type Variable,
} from '../schemas/cloud/functions.ts'
import { QUEUES, type QueueName } from '../schemas/queues.ts'
import { BODIES, type Buckets } from './buckets.ts'
import { invocationsOf } from './connections.ts'
import { maySizePools, poolPlaces, suppliedClasses } from './containers/capacity.ts'
import type { Network } from './network.ts'
import { roleOf, type Statement } from './policy.ts'
import { type Queues, sourceOf } from './queues.ts'
import type { Secrets } from './secrets.ts'
import { type Deployment, edgeHostOf, nameOf, tagsOf, tracesOf } from './settings.ts'

export type Functions = Record<FunctionName, lambda.Function>

/** What a function does to queues and blobs; all of them speak to the database. */
type Work = {
  memoryMb: number
  sends?: QueueName[]
  receives?: QueueName[]
  /** Says itself how long its messages are hidden. */
  holds?: QueueName[]
  /** Sends dead messages back when an operator asks for it. */
  redrives?: QueueName[]
  /** Reads, writes and deletes them. */
  keepsBlobs?: boolean
  /** Says how many tasks the services of runners have. */
  sizesPools?: boolean
}
const ALL_QUEUES = Object.keys(QUEUES) as QueueName[]
const INTERFACES = [
  'ec2:CreateNetworkInterface',
  'ec2:DescribeNetworkInterfaces',
  'ec2:DescribeSubnets',
  'ec2:DeleteNetworkInterface',
  'ec2:AssignPrivateIpAddresses',
  'ec2:UnassignPrivateIpAddresses',
]
const READS = ['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:GetQueueAttributes']
const small = { memoryMb: 512 }

const FUNCTIONS: Record<FunctionName, Work> = {
  // It sends what a transaction promised as soon as it commits.
  api: { memoryMb: 1024, sends: ALL_QUEUES, redrives: ALL_QUEUES, keepsBlobs: true },
  ingest: { memoryMb: 1024, receives: ['events'] },
  // A whole processor computes digests.
  verify: { memoryMb: 1769, receives: ['uploads'], holds: ['uploads'], keepsBlobs: true },
  relay: { ...small, sends: ALL_QUEUES },
  sweep: small,
  capacity: { ...small, sizesPools: true },
  tend: { memoryMb: 3072, keepsBlobs: true },
  migrate: small,
}

type Needs = {
  network: Network
  secrets: Secrets
  database: rds.Instance
  queues: Queues
  buckets: Buckets
}

export function functions(deployment: Deployment, needs: Needs): Functions {
  const { migrate: work, ...others } = FUNCTIONS
  const migrate = functionOf(deployment, needs, 'migrate', work)
  // New code starts on tables that are there: a deployment whose migrations fail changes no other function.
  const asked = {
    functionName: migrate.name,
    // One that was restored may be older than the code, too.
    input: needs.database.identifier.apply(database =>
      JSON.stringify({ newest: deployment.newestMigration, database }),
    ),
  }
  // It is called as soon as it is there: what it goes out by must be there before.
  const dependsOn = needs.network.waysOut
  const migrated = new lambda.Invocation('migrations', asked, { dependsOn })
  const made = Object.entries(others).map(([name, work]) => [
    name,
    functionOf(deployment, needs, name as FunctionName, work, [migrated]),
  ])
  return { migrate, ...Object.fromEntries(made) }
}

function functionOf(
  deployment: Deployment,
  needs: Needs,
  name: FunctionName,
  work: Work,
  dependsOn: pulumi.Resource[] = [],
) {
  const { network, secrets } = needs
  const tags = { ...tagsOf(deployment, 'functions'), 'galley:function': name }
  const functionName = nameOf(deployment, name)
  const logs = new cloudwatch.LogGroup(`logs-${name}`, {
    name: `/aws/lambda/${functionName}`,
    retentionInDays: deployment.settings.logDays,
    tags,
  })
  const role = roleOf(deployment, { name, service: 'lambda.amazonaws.com', part: 'functions' }, [
    ...statementsOf(needs, name, work, { logs, self: arnOf(deployment, functionName) }),
    ...(work.sizesPools ? [maySizePools(deployment)] : []),
  ])
  const inputs: lambda.FunctionArgs = {
    name: functionName,
    role: role.arn,
    runtime: 'nodejs24.x',
    architectures: ['arm64'],
    handler: 'index.handler',
    code: new pulumi.asset.FileArchive(deployment.bundleOf(name)),
    timeout: timeoutS(name),
    memorySize: work.memoryMb,
    reservedConcurrentExecutions: invocationsOf(deployment.settings)[name],
    // For segments on their way: DuckDB writes there what does not fit in memory.
    ephemeralStorage: { size: name === 'tend' ? 4096 : 512 },
    environment: { variables: environmentOf(deployment, needs, name) },
    kmsKeyArn: secrets.key.arn,
    vpcConfig: {
      subnetIds: network.privateSubnets.map(({ id }) => id),
      securityGroupIds: [network.groups.functions.id],
    },
    loggingConfig: { logFormat: 'JSON', logGroup: logs.name },
    tags,
  }
  const made = new lambda.Function(`function-${name}`, inputs, { dependsOn })
  for (const queue of work.receives ?? []) sourceOf(deployment, needs.queues, made, queue)
  return made
}

/** Where things are, as far as this function reads it; what is secret is named, and read as it starts. */
function environmentOf(deployment: Deployment, needs: Needs, name: FunctionName) {
  const { database, queues, buckets } = needs
  const urls = ALL_QUEUES.map(queue => [queueVariable(queue), queues[queue].live.url])
  const values = {
    ...secretsOf(needs),
    ...tracesOf(deployment),
    GALLEY_DATABASE_HOST: database.address,
    GALLEY_BUCKET: buckets.blobs.bucket,
    GALLEY_FEATURES_URL: `https://${edgeHostOf(deployment)}`,
    GALLEY_PARTITIONS_PER_OBJECT: String(PARTITIONS_PER_OBJECT),
    GALLEY_RUNNER_CLUSTER: nameOf(deployment, 'runners'),
    GALLEY_RUNNER_POOLS: JSON.stringify(poolPlaces(deployment)),
    GALLEY_RUNNER_CLASSES: suppliedClasses(deployment).join(','),
    ...Object.fromEntries(urls),
  } as Partial<Record<Variable, pulumi.Input<string>>>
  const told = VARIABLES[name].flatMap(variable => {
    const value = values[variable]
    return value === undefined ? [] : [[variable, value] as const]
  })
  return {
    NODE_OPTIONS: '--enable-source-maps',
    // The certificates of RDS are in no list that Node comes with.
    NODE_EXTRA_CA_CERTS: '/var/runtime/ca-cert.pem',
    ...Object.fromEntries(told),
  }
}

/** The owner's secret is RDS's own; it makes and changes it. */
function secretsOf({
  secrets,
  database,
}: Needs): Partial<Record<SecretVariable, pulumi.Input<string>>> {
  return {
    ...(secrets.traces && { GALLEY_TRACE_HEADERS_SECRET_ARN: secrets.traces.arn }),
    GALLEY_DEPLOYMENT_SECRET_ARN: secrets.deployment.arn,
    GALLEY_DATABASE_SECRET_ARN: secrets.database.arn,
    GALLEY_OWNER_SECRET_ARN: database.masterUserSecrets.apply(([owner]) => owner!.secretArn),
  }
}

const arnOf = ({ region, account }: Deployment, name: string) =>
  `arn:aws:lambda:${region}:${account}:function:${name}`

function statementsOf(
  needs: Needs,
  name: FunctionName,
  { sends = [], receives = [], holds = [], redrives = [], keepsBlobs }: Work,
  { logs, self }: { logs: cloudwatch.LogGroup; self: string },
): Statement[] {
  const { secrets, queues, buckets } = needs
  const named = Object.entries(secretsOf(needs)) as [SecretVariable, pulumi.Input<string>][]
  const statements: Statement[] = [
    {
      Action: ['logs:CreateLogStream', 'logs:PutLogEvents'],
      Resource: pulumi.interpolate`${logs.arn}:*`,
    },
    { Sid: 'NetworkInterfaces', Action: INTERFACES, Resource: '*' },
    // Lambda makes them before the code runs; the code itself has no business there.
    {
      Effect: 'Deny',
      Action: INTERFACES,
      Resource: '*',
      Condition: { ArnEquals: { 'lambda:SourceFunctionArn': self } },
    },
    {
      Action: ['secretsmanager:GetSecretValue'],
      Resource: named.filter(([v]) => VARIABLES[name].includes(v)).map(([, arn]) => arn),
    },
    {
      Action: ['kms:Decrypt', ...(keepsBlobs || sends.length > 0 ? ['kms:GenerateDataKey'] : [])],
      Resource: secrets.key.arn,
    },
  ]
  const of = (names: QueueName[]) => names.map(name => queues[name].live.arn)
  const bodies = pulumi.interpolate`${buckets.blobs.arn}/${BODIES}*`
  if (sends.length > 0)
    statements.push(
      { Action: ['sqs:SendMessage'], Resource: of(sends) },
      { Action: ['s3:PutObject'], Resource: bodies },
    )
  if (receives.length > 0)
    statements.push(
      {
        Action: READS,
        Resource: of(receives),
      },
      { Action: ['s3:GetObject'], Resource: bodies },
    )
  if (holds.length > 0)
    statements.push({ Action: ['sqs:ChangeMessageVisibility'], Resource: of(holds) })
  if (redrives.length > 0)
    statements.push({
      Action: READS,
      Resource: redrives.map(name => queues[name].dead.arn),
    })
  if (keepsBlobs)
    statements.push({
      Action: ['s3:GetObject', 's3:PutObject', 's3:DeleteObject', 's3:AbortMultipartUpload'],
      Resource: pulumi.interpolate`${buckets.blobs.arn}/*`,
    })
  // Without it a blob that is not there looks like one that is forbidden.
  if (keepsBlobs || receives.length > 0)
    statements.push({ Action: ['s3:ListBucket'], Resource: buckets.blobs.arn })
  return statements
}
