/**
 * Runners: spot capacity over several instance types and zones, with a floor on on-demand; from nothing and
 * back to nothing. How many there are is what the function `capacity` says.
 */
import * as ecs from '@pulumi/aws/ecs/index.js'
import * as pulumi from '@pulumi/pulumi'
import { queueVariable } from '../../schemas/cloud/functions.ts'
import { type PoolName, USUAL_CLASS } from '../../schemas/cloud/pools.ts'
import { QUEUES, type QueueName, queuesOf } from '../../schemas/queues.ts'
import { BODIES, type Buckets } from '../buckets.ts'
import type { Network } from '../network.ts'
import type { Queues } from '../queues.ts'
import { type Secrets, traceHeadersIn } from '../secrets.ts'
import { type Deployment, hostOf, nameOf, tagsOf, tracesOf } from '../settings.ts'
import {
  CAPACITIES,
  imageOf,
  POOLS,
  poolPlaceOf,
  poolsOf,
  profileOf,
  providerOf,
  within,
} from './capacity.ts'
import type { Router } from './router.ts'
import { STOP_S, taskOf } from './task.ts'

/** Of the time between the signals that stop a task: what the platform itself may take of it. */
const STOP_MARGIN_S = 10
/** Asked from within the container alone. */
const HEALTH_PORT = 8081
/** Where a machine of EC2 learns that it is taken back. */
const METADATA_URL = 'http://169.254.169.254'

type Needs = {
  network: Network
  secrets: Secrets
  queues: Queues
  buckets: Buckets
  router: Router
}

/** By pool and kind. */
export type Capacities = Record<string, ecs.CapacityProvider>

export function runners(deployment: Deployment, needs: Needs): Capacities {
  const tags = tagsOf(deployment, 'runners')
  const name = nameOf(deployment, 'runners')
  const cluster = new ecs.Cluster('runner-cluster', {
    name,
    // What a service uses is told without it; its metrics are paid for one by one, and nobody reads them.
    settings: [{ name: 'containerInsights', value: 'disabled' }],
    tags,
  })
  const profile = profileOf(deployment, cluster)
  const pools = poolsOf(deployment)
  const providers = pools.map(pool =>
    CAPACITIES.map(capacity =>
      providerOf(deployment, { network: needs.network, cluster: name, profile }, pool, capacity),
    ),
  )
  const joined = new ecs.ClusterCapacityProviders('runner-capacity', {
    clusterName: cluster.name,
    capacityProviders: providers.flat().map(provider => provider.name),
  })
  const taken = pools.map((pool, at) => {
    const [spot, floor] = providers[at]!
    serviceOf(deployment, needs, { pool, cluster, spot: spot!, floor: floor!, joined })
    return { [`${pool}-spot`]: spot!, [`${pool}-floor`]: floor! }
  })
  return Object.assign({}, ...taken)
}

type Service = {
  pool: PoolName
  cluster: ecs.Cluster
  spot: ecs.CapacityProvider
  floor: ecs.CapacityProvider
  joined: ecs.ClusterCapacityProviders
}

function serviceOf(
  deployment: Deployment,
  { network, secrets, queues, buckets, router }: Needs,
  of: Service,
) {
  const { pool, cluster, spot, floor, joined } = of
  const { memoryMb, gpus } = POOLS[pool]
  const { service, floor: base } = poolPlaceOf(deployment, pool)
  // What asks for no class is not worth a machine of a dearer one.
  const isDedicated = pool !== USUAL_CLASS
  const reads = (['work', 'validate'] as const).flatMap(work =>
    queuesOf(work, { hardware: pool, isDedicated }),
  )
  const task = taskOf(deployment, {
    name: `runner-${pool}`,
    part: 'runners',
    image: imageOf(deployment, pool)!,
    environment: {
      ...tracesOf(deployment),
      GALLEY_HARDWARE: pool,
      GALLEY_DEDICATED: String(isDedicated),
      GALLEY_HEALTH_PORT: String(HEALTH_PORT),
      GALLEY_ROUTER: router.dialled,
      GALLEY_STOP_S: String(STOP_S - STOP_MARGIN_S),
      AWS_EC2_METADATA_SERVICE_ENDPOINT: METADATA_URL,
      AWS_REGION: deployment.region,
      GALLEY_BUCKET: buckets.blobs.bucket,
      ...Object.fromEntries(
        (Object.keys(QUEUES) as QueueName[]).map(name => [
          queueVariable(name),
          queues[name].live.url,
        ]),
      ),
      GALLEY_FUNCTIONS_URL: `https://${hostOf(deployment, 'functions')}`,
    },
    secrets: { GALLEY_RUNNER_KEY: secrets.runner, ...traceHeadersIn(secrets) },
    key: secrets.key,
    healthPort: HEALTH_PORT,
    memoryMb,
    gpus,
    may: [
      {
        Action: ['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:ChangeMessageVisibility'],
        Resource: reads.map(name => queues[name].live.arn),
      },
      {
        Action: ['s3:GetObject', 's3:PutObject', 's3:AbortMultipartUpload'],
        Resource: pulumi.interpolate`${buckets.blobs.arn}/*`,
      },
      // What was stored while its digest was not known yet, a file of a batch that came out empty, and bodies
      // of messages that were worked off.
      {
        Action: ['s3:DeleteObject'],
        Resource: ['unfinished/*', 'blobs/*/batch-files/*', `${BODIES}*`].map(
          keys => pulumi.interpolate`${buckets.blobs.arn}/${keys}`,
        ),
      },
      // Without it a blob that is not there looks like one that is forbidden.
      { Action: ['s3:ListBucket'], Resource: buckets.blobs.arn },
      { Action: ['kms:Decrypt', 'kms:GenerateDataKey'], Resource: secrets.key.arn },
      // A runner that holds a lease is not scaled in.
      {
        Action: ['ecs:GetTaskProtection', 'ecs:UpdateTaskProtection'],
        Resource: within(deployment, 'task'),
      },
    ],
  })
  new ecs.Service(
    `runners-${pool}`,
    {
      name: service,
      cluster: cluster.arn,
      taskDefinition: task.arn,
      desiredCount: 0,
      capacityProviderStrategies: strategyOf(spot, floor, base),
      networkConfiguration: {
        subnets: network.privateSubnets.map(({ id }) => id),
        securityGroups: [network.groups.runners.id],
        assignPublicIp: false,
      },
      orderedPlacementStrategies: [
        { type: 'spread', field: 'attribute:ecs.availability-zone' },
        { type: 'binpack', field: 'memory' },
      ],
      deploymentCircuitBreaker: { enable: true, rollback: true },
      // Spot is where it is: runners at work are not stopped to have as many in each zone.
      availabilityZoneRebalancing: 'DISABLED',
      enableExecuteCommand: false,
      propagateTags: 'SERVICE',
      tags: tagsOf(deployment, 'runners'),
    },
    // Whoever scales says how many there are; a deployment must not take them away.
    { dependsOn: [joined, ...network.waysOut], ignoreChanges: ['desiredCount'] },
  )
}

/**
 * The floor first, then spot. With a weight of 0 a provider places no tasks, which may be said of its base too; so
 * it has the least of the thousand that there is.
 */
function strategyOf(spot: ecs.CapacityProvider, floor: ecs.CapacityProvider, base: number) {
  const rest = { capacityProvider: spot.name, base: 0, weight: 1_000 }
  return base === 0 ? [rest] : [{ capacityProvider: floor.name, base, weight: 1 }, rest]
}
