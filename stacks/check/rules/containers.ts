/** Containers, the machines under them, and how they come and go. */
import type { Graph, Inputs } from '../graph.ts'
import { all, faulty, inputs, one, type Rule, without } from '../rule.ts'

const containersOf = ({ containerDefinitions }: Inputs): Inputs[] =>
  JSON.parse(containerDefinitions)

function container(graph: Graph, task: string, change: (container: Inputs) => void): void {
  const containers = containersOf(inputs(graph, task))
  change(containers[0]!)
  inputs(graph, task).containerDefinitions = JSON.stringify(containers)
}
const distribution = (graph: Graph, group: string): Inputs =>
  inputs(graph, group).mixedInstancesPolicy.instancesDistribution

export const containerRules: Rule[] = [
  {
    name: 'a container is not root, cannot write its own files, and is an image by its digest',
    faults: graph =>
      faulty(all(graph, 'ecs/taskDefinition'), task => {
        for (const { image, user, readonlyRootFilesystem, privileged } of containersOf(task)) {
          if (!/@sha256:[0-9a-f]{64}$/.test(image))
            return `starts ${image}, whatever that is by then`
          if (!user || /^(0|root)\b/.test(user)) return 'is root'
          if (!readonlyRootFilesystem) return 'can write its own files'
          if (privileged) return 'has the machine'
        }
        return false
      }),
    plants: [
      graph =>
        container(graph, 'task-router', each => Object.assign(each, { image: 'router:latest' })),
      graph => container(graph, 'task-router', each => Object.assign(each, { user: '0:0' })),
      graph => container(graph, 'task-runner-cpu', each => delete each.readonlyRootFilesystem),
      graph =>
        container(graph, 'task-runner-gpu', each => Object.assign(each, { privileged: true })),
    ],
  },
  {
    name: 'a container has the longest time to drain that the platform gives',
    faults: graph =>
      faulty(all(graph, 'ecs/taskDefinition'), task =>
        containersOf(task).some(({ stopTimeout }) => stopTimeout !== 120)
          ? 'is killed early'
          : false,
      ),
    plants: [graph => container(graph, 'task-runner-cpu', each => delete each.stopTimeout)],
  },
  {
    name: 'a deployment whose containers do not start goes back by itself, and nobody gets into one that runs',
    faults: graph =>
      faulty(all(graph, 'ecs/service'), ({ deploymentCircuitBreaker: of, ...service }) => {
        if (!(of?.enable && of.rollback)) return 'starts them again for ever'
        return service.enableExecuteCommand !== false && 'lets people in'
      }),
    plants: [
      graph => delete inputs(graph, 'runners-gpu').deploymentCircuitBreaker,
      graph => {
        inputs(graph, 'router').deploymentCircuitBreaker.rollback = false
      },
      graph => {
        inputs(graph, 'router').enableExecuteCommand = true
      },
    ],
  },
  {
    name: 'routers are kept in several zones, and no runner at work is stopped for that',
    faults: graph =>
      faulty(all(graph, 'ecs/service'), ({ availabilityZoneRebalancing: is }, { name }) => {
        const should = name === 'router' ? 'ENABLED' : 'DISABLED'
        return is !== should && `has rebalancing ${is}, which should be ${should}`
      }),
    plants: [
      graph => delete inputs(graph, 'runners-cpu').availabilityZoneRebalancing,
      graph => {
        inputs(graph, 'router').availabilityZoneRebalancing = 'DISABLED'
      },
    ],
  },
  {
    name: 'routers, of which there is a fixed number, call somebody before they have too much to do',
    faults: graph =>
      ['CPUUtilization', 'MemoryUtilization'].flatMap(metric => {
        const { name, cluster } = inputs(graph, 'router')
        const watched = all(graph, 'cloudwatch/metricAlarm').some(
          ({ inputs: { namespace, metricName, dimensions, threshold } }) =>
            namespace === 'AWS/ECS' &&
            metricName === metric &&
            dimensions.ServiceName === name &&
            cluster.endsWith(`:${dimensions.ClusterName}`) &&
            threshold < 100,
        )
        return watched ? [] : [`router: calls nobody for its ${metric}`]
      }),
    plants: [
      graph => without(graph, 'alarm-router-busy'),
      graph => {
        inputs(graph, 'alarm-router-full').dimensions.ServiceName = 'router'
      },
    ],
  },
  {
    name: 'a container logs into a group that was made for it',
    faults: graph => {
      const groups = all(graph, 'cloudwatch/logGroup').map(({ inputs: { name } }) => name)
      return faulty(all(graph, 'ecs/taskDefinition'), task =>
        containersOf(task).some(
          ({ logConfiguration: of }) => !groups.includes(of?.options['awslogs-group']),
        )
          ? 'logs nowhere'
          : false,
      )
    },
    plants: [
      graph => without(graph, 'logs-router'),
      graph => container(graph, 'task-runner-gpu', each => delete each.logConfiguration),
    ],
  },
  {
    name: 'runners come from nothing and go back to nothing, and no machine at work is taken',
    faults: graph => [
      ...faulty(all(graph, 'autoscaling/group'), ({ minSize, maxSize, protectFromScaleIn }) => {
        if (minSize !== 0) return 'never goes back to nothing'
        if (!(maxSize > 0)) return 'never comes'
        return !protectFromScaleIn && 'lets machines at work be taken'
      }),
      ...faulty(all(graph, 'ecs/capacityProvider'), ({ autoScalingGroupProvider: of }) => {
        const on = [of.managedScaling.status, of.managedTerminationProtection, of.managedDraining]
        return on.some(each => each !== 'ENABLED') && 'does not scale, protect and drain'
      }),
    ],
    plants: [
      graph => {
        inputs(graph, 'runners-gpu-spot').minSize = 1
      },
      graph => {
        inputs(graph, 'runners-cpu-spot').protectFromScaleIn = false
      },
      graph => delete inputs(graph, 'capacity-cpu-spot').autoScalingGroupProvider.managedDraining,
    ],
  },
  {
    name: 'spot is looked for over several types and zones, at the price that is asked, and drains in time',
    faults: graph => [
      ...faulty(
        all(graph, 'autoscaling/group'),
        ({ mixedInstancesPolicy, vpcZoneIdentifiers }, of) => {
          const types = mixedInstancesPolicy.launchTemplate.overrides.length
          const { onDemandPercentageAboveBaseCapacity: share, spotMaxPrice } =
            mixedInstancesPolicy.instancesDistribution
          if (types < 3) return `knows ${types} types`
          if (vpcZoneIdentifiers.length < 2) return 'stands in one zone'
          if (spotMaxPrice) return 'waits for a price'
          const wanted = of.name.endsWith('-spot') ? 0 : 100
          return share !== wanted && `is on-demand for ${share} %, and should be for ${wanted} %`
        },
      ),
      ...faulty(all(graph, 'ec2/launchTemplate'), ({ userData }) => {
        const script = Buffer.from(userData, 'base64').toString()
        return !script.includes('ECS_ENABLE_SPOT_INSTANCE_DRAINING=true') && 'is taken in mid-work'
      }),
    ],
    plants: [
      graph => {
        const { launchTemplate } = inputs(graph, 'runners-cpu-spot').mixedInstancesPolicy
        launchTemplate.overrides = launchTemplate.overrides.slice(0, 1)
      },
      graph => {
        inputs(graph, 'runners-cpu-spot').vpcZoneIdentifiers = ['subnet-private-1-id']
      },
      graph => {
        distribution(graph, 'runners-gpu-spot').spotMaxPrice = '0.01'
      },
      graph => {
        distribution(graph, 'runners-cpu-floor').onDemandPercentageAboveBaseCapacity = 0
      },
      graph => {
        inputs(graph, 'machine-gpu-spot').userData = ''
      },
    ],
  },
  {
    name: 'each service of runners takes its floor from on-demand and the rest from spot',
    faults: graph =>
      faulty(
        all(graph, 'ecs/service').filter(({ name }) => name.startsWith('runners-')),
        ({ capacityProviderStrategies: strategies = [] }, { name, ignored }) => {
          const of = (kind: string) =>
            strategies.find((each: Inputs) => each.capacityProvider.endsWith(`-${kind}`))
          if (!(of('spot')?.weight > 0)) return 'has no spot capacity'
          const floor = of('floor')
          if (floor && of('spot').weight < 1_000 * floor.weight) return 'grows on on-demand'
          if (floor && !(floor.weight >= 1)) return 'may place nothing on its floor'
          if (!ignored.includes('desiredCount')) return 'loses its runners to a deployment'
          const isBare = graph.stage === 'production' && name === 'runners-cpu'
          return isBare && !(floor?.base >= 1) && 'has no floor when spot is gone'
        },
      ),
    plants: [
      graph => delete inputs(graph, 'runners-cpu').capacityProviderStrategies,
      graph => {
        one(graph, 'runners-gpu').ignored = []
      },
      graph => {
        inputs(graph, 'runners-cpu').capacityProviderStrategies[0].weight = 0
      },
      graph => {
        inputs(graph, 'runners-cpu').capacityProviderStrategies[0].weight = 1_000
      },
      graph => {
        inputs(graph, 'runners-cpu').capacityProviderStrategies.shift()
      },
      graph => {
        inputs(graph, 'runners-cpu').capacityProviderStrategies[0].base = 0
      },
    ],
  },
  {
    name: 'a machine gives its credentials to those with a token alone, and its disks are encrypted',
    faults: graph =>
      faulty(all(graph, 'ec2/launchTemplate'), ({ metadataOptions, blockDeviceMappings = [] }) => {
        if (metadataOptions?.httpTokens !== 'required') return 'answers without a token'
        const plain = blockDeviceMappings.some(({ ebs }: Inputs) => ebs?.encrypted !== 'true')
        return (plain || blockDeviceMappings.length === 0) && 'has a disk that anybody can read'
      }),
    plants: [
      graph => {
        inputs(graph, 'machine-cpu-spot').metadataOptions.httpTokens = 'optional'
      },
      graph => {
        inputs(graph, 'machine-cpu-floor').blockDeviceMappings[0].ebs.encrypted = 'false'
      },
    ],
  },
]
