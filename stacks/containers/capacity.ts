/** Machines for runners: pools of like ones, on spot and on on-demand, that ECS fills and empties. */
import * as autoscaling from '@pulumi/aws/autoscaling/index.js'
import * as ec2 from '@pulumi/aws/ec2/index.js'
import type * as ecs from '@pulumi/aws/ecs/index.js'
import { CapacityProvider } from '@pulumi/aws/ecs/index.js'
import * as iam from '@pulumi/aws/iam/index.js'
import type { PoolName, PoolPlace } from '../../schemas/cloud/pools.ts'
import type { Network } from '../network.ts'
import { roleOf, type Statement } from '../policy.ts'
import { type Deployment, nameOf, tagsOf } from '../settings.ts'

/**
 * Machines of a pool are alike, because one task fills one of them and what was measured on a class holds on
 * its like. Several types, because a zone that is out of one has another.
 */
export const POOLS: Record<PoolName, Pool> = {
  cpu: {
    types: ['c7i.xlarge', 'c7a.xlarge', 'c6i.xlarge', 'c6a.xlarge'],
    memoryMb: 6_500,
    gpus: 0,
    ami: 'amazon-linux-2023/recommended/image_id',
  },
  gpu: {
    types: ['g6.xlarge', 'g5.xlarge', 'g4dn.xlarge'],
    memoryMb: 14_000,
    gpus: 1,
    ami: 'amazon-linux-2023/gpu/recommended/image_id',
  },
}
type Pool = { types: string[]; memoryMb: number; gpus: number; ami: string }
export const CAPACITIES = ['spot', 'floor'] as const
type Capacity = (typeof CAPACITIES)[number]

type Machines = { network: Network; cluster: string; profile: iam.InstanceProfile }

/** What a machine itself may do: join this cluster, and report to it. */
export function profileOf(deployment: Deployment, cluster: ecs.Cluster): iam.InstanceProfile {
  const machine = { name: 'runner-machine', service: 'ec2.amazonaws.com', part: 'runners' }
  const role = roleOf(deployment, machine, [
    {
      Action: ['ecs:RegisterContainerInstance', 'ecs:DeregisterContainerInstance'],
      Resource: cluster.arn,
    },
    { Sid: 'AgentEndpoint', Action: ['ecs:DiscoverPollEndpoint'], Resource: '*' },
    {
      Action: [
        'ecs:Poll',
        'ecs:StartTelemetrySession',
        // Of a machine, not of the cluster: draining before spot takes it back.
        'ecs:UpdateContainerInstancesState',
        'ecs:SubmitTaskStateChange',
        'ecs:SubmitContainerStateChange',
        // A task has an address of its own: that it is attached is told before the task starts.
        'ecs:SubmitAttachmentStateChanges',
      ],
      Resource: [cluster.arn, within(deployment, 'container-instance'), within(deployment, 'task')],
    },
  ])
  return new iam.InstanceProfile('runner-profile', {
    name: nameOf(deployment, 'runner-machine'),
    role: role.name,
    tags: tagsOf(deployment, 'runners'),
  })
}

/** Everything of a kind in the cluster of the runners, or the one of that name. */
export const within = (deployment: Deployment, kind: string, name = '*') =>
  `arn:aws:ecs:${deployment.region}:${deployment.account}:${kind}/${nameOf(deployment, 'runners')}/${name}`

/** The service of a pool, and within what bounds it is sized. */
export function poolPlaceOf(deployment: Deployment, pool: PoolName): PoolPlace {
  const { onDemandFloor, runnersMax } = deployment.settings
  return {
    service: nameOf(deployment, `runners-${pool}`),
    // A floor of machines with a GPU would be the dearest part of a deployment that does nothing.
    floor: pool === 'cpu' ? onDemandFloor : 0,
    ceiling: runnersMax,
  }
}

/** The image that runners of a pool are started from; none, where the deployment was given none. */
export const imageOf = ({ images }: Deployment, pool: PoolName): string | null =>
  POOLS[pool].gpus > 0 ? images.runnerGpu : images.runner

/** Pools that the deployment has an image for; classes of the others are not published for. */
export const poolsOf = (deployment: Deployment): PoolName[] =>
  (Object.keys(POOLS) as PoolName[]).filter(pool => imageOf(deployment, pool) !== null)

export function poolPlaces(deployment: Deployment): Partial<Record<PoolName, PoolPlace>> {
  const pools = poolsOf(deployment)
  return Object.fromEntries(pools.map(pool => [pool, poolPlaceOf(deployment, pool)]))
}

/** Classes of hardware of which there can be runners. */
export function suppliedClasses(deployment: Deployment): string[] {
  return Object.entries(poolPlaces(deployment))
    .filter(([, { ceiling }]) => ceiling > 0)
    .map(([pool]) => pool)
}

/** For whoever says how large the pools are: of these services alone. */
export function maySizePools(deployment: Deployment): Statement {
  return {
    Action: ['ecs:DescribeServices', 'ecs:UpdateService'],
    Resource: Object.values(poolPlaces(deployment)).map(({ service }) =>
      within(deployment, 'service', service),
    ),
  }
}

export function providerOf(
  deployment: Deployment,
  { network, cluster, profile }: Machines,
  pool: PoolName,
  capacity: Capacity,
): ecs.CapacityProvider {
  const { types, ami } = POOLS[pool]
  const tags = tagsOf(deployment, 'runners')
  const name = nameOf(deployment, `${pool}-${capacity}`)
  const group = new autoscaling.Group(`runners-${pool}-${capacity}`, {
    name,
    minSize: 0,
    maxSize: deployment.settings.runnersMax,
    vpcZoneIdentifiers: network.privateSubnets.map(({ id }) => id),
    // ECS lets go of a machine once nothing runs on it; until then nobody may take it.
    protectFromScaleIn: true,
    mixedInstancesPolicy: {
      launchTemplate: {
        launchTemplateSpecification: {
          launchTemplateId: templateOf().id,
          version: '$Latest',
        },
        overrides: types.map(instanceType => ({ instanceType })),
      },
      instancesDistribution: {
        onDemandBaseCapacity: 0,
        onDemandPercentageAboveBaseCapacity: capacity === 'spot' ? 0 : 100,
        spotAllocationStrategy: 'price-capacity-optimized',
        onDemandAllocationStrategy: 'lowest-price',
      },
    },
    // The last one is what ECS puts there itself: a deployment would take it away again.
    tags: Object.entries({ ...tags, Name: name, AmazonECSManaged: 'true' }).map(([key, value]) => ({
      key,
      value,
      propagateAtLaunch: true,
    })),
  })
  return new CapacityProvider(`capacity-${pool}-${capacity}`, {
    name,
    autoScalingGroupProvider: {
      autoScalingGroupArn: group.arn,
      managedScaling: { status: 'ENABLED', targetCapacity: 100, maximumScalingStepSize: 16 },
      managedTerminationProtection: 'ENABLED',
      managedDraining: 'ENABLED',
    },
    tags,
  })

  function templateOf(): ec2.LaunchTemplate {
    // Two minutes before a spot machine is taken its tasks are told to stop.
    const settings = `ECS_CLUSTER=${cluster}\nECS_ENABLE_SPOT_INSTANCE_DRAINING=true\n`
    const script = `#!/bin/sh\ncat >>/etc/ecs/ecs.config <<'END'\n${settings}END\n`
    return new ec2.LaunchTemplate(`machine-${pool}-${capacity}`, {
      name,
      imageId: `resolve:ssm:/aws/service/ecs/optimized-ami/${ami}`,
      iamInstanceProfile: { arn: profile.arn },
      vpcSecurityGroupIds: [network.groups.runners.id],
      userData: Buffer.from(script).toString('base64'),
      // Notices of interruption are read with a token; two hops, because a task is one further.
      metadataOptions: { httpTokens: 'required', httpPutResponseHopLimit: 2 },
      blockDeviceMappings: [
        {
          deviceName: '/dev/xvda',
          ebs: {
            volumeSize: 100,
            volumeType: 'gp3',
            encrypted: 'true',
            deleteOnTermination: 'true',
          },
        },
      ],
      tagSpecifications: ['instance', 'volume'].map(resourceType => ({ resourceType, tags })),
      tags,
    })
  }
}
