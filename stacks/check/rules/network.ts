/** Who can be reached, and how. */
import type { Graph, Inputs } from '../graph.ts'
import { all, faulty, inputs, type Rule, without } from '../rule.ts'
import { change, list, statements } from './access.ts'

/** Where a subnet's packets for anywhere go: its own internet gateway, a NAT, or nowhere. */
function wayOut(graph: Graph, subnet: string): 'internet' | 'nat' | 'none' {
  const table = all(graph, 'ec2/routeTableAssociation').find(
    ({ inputs: { subnetId } }) => subnetId === subnet,
  )?.inputs.routeTableId
  const routes = all(graph, 'ec2/route').filter(
    ({ inputs: { routeTableId } }) => routeTableId === table,
  )
  if (routes.some(({ inputs: { gatewayId } }) => gatewayId)) return 'internet'
  return routes.length > 0 ? 'nat' : 'none'
}
const open = (cidrs: unknown) => [cidrs ?? []].flat().some(cidr => /\/0$/.test(String(cidr)))

export const networkRules: Rule[] = [
  {
    name: 'functions, routers and runners stand in private subnets, without a public address',
    faults: graph => {
      const isPublic = (subnets: string[] = []) =>
        subnets.length === 0 || subnets.some(subnet => wayOut(graph, subnet) === 'internet')
      return [
        ...faulty(
          all(graph, 'lambda/function'),
          ({ vpcConfig }) => isPublic(vpcConfig?.subnetIds) && PUBLIC,
        ),
        ...faulty(all(graph, 'ecs/service'), ({ networkConfiguration: of }) => {
          if (of?.assignPublicIp) return 'has a public address'
          return isPublic(of?.subnets) && PUBLIC
        }),
        ...faulty(
          all(graph, 'autoscaling/group'),
          ({ vpcZoneIdentifiers }) => isPublic(vpcZoneIdentifiers) && PUBLIC,
        ),
        ...faulty(
          all(graph, 'ec2/subnet'),
          ({ mapPublicIpOnLaunch }) => mapPublicIpOnLaunch && 'gives out public addresses',
        ),
      ]
    },
    plants: [
      graph => {
        inputs(graph, 'function-api').vpcConfig.subnetIds = ['subnet-public-1-id']
      },
      graph => delete inputs(graph, 'function-api').vpcConfig,
      graph => {
        inputs(graph, 'router').networkConfiguration.assignPublicIp = true
      },
      graph => {
        inputs(graph, 'runners-cpu').networkConfiguration.subnets = ['subnet-public-1-id']
      },
      graph => {
        inputs(graph, 'runners-gpu-spot').vpcZoneIdentifiers = ['subnet-public-1-id']
      },
      graph => {
        inputs(graph, 'subnet-public-1').mapPublicIpOnLaunch = true
      },
      graph => {
        inputs(graph, 'route-private-1').gatewayId = 'internet-id'
      },
    ],
  },
  {
    name: 'the database has no way out, no public address, and speaks to functions alone',
    faults: graph => [
      ...faulty(
        all(graph, 'rds/instance'),
        ({ publiclyAccessible }) => publiclyAccessible !== false && 'has a public address',
      ),
      ...faulty(
        all(graph, 'rds/subnetGroup'),
        ({ subnetIds }) =>
          subnetIds.some((subnet: string) => wayOut(graph, subnet) !== 'none') && 'has a way out',
      ),
      ...faulty(
        ingress(graph).filter(({ inputs: { securityGroupId: of } }) => of === 'group-database-id'),
        ({ sourceSecurityGroupId: from }) => from !== 'group-functions-id' && 'lets others in',
      ),
    ],
    plants: [
      graph => {
        inputs(graph, 'database').publiclyAccessible = true
      },
      graph => {
        inputs(graph, 'database-subnets').subnetIds = ['subnet-private-1-id']
      },
      graph => {
        inputs(graph, 'database-from-functions').sourceSecurityGroupId = 'group-runners-id'
      },
    ],
  },
  {
    name: 'nobody is let in from anywhere, nor by a rule that hangs on the group itself',
    faults: graph => [
      ...faulty(
        ingress(graph),
        each => (open(each.cidrBlocks) || open(each.ipv6CidrBlocks)) && 'lets everybody in',
      ),
      ...faulty(
        [...all(graph, 'ec2/securityGroup'), ...all(graph, 'ec2/defaultSecurityGroup')],
        each => (each.ingress?.length ?? 0) > 0 && 'has rules in two places',
      ),
    ],
    plants: [
      graph => {
        inputs(graph, 'database-from-functions').cidrBlocks = ['0.0.0.0/0']
      },
      graph => {
        inputs(graph, 'balancer-from-edge').cidrBlocks = ['0.0.0.0/0']
      },
      graph => {
        inputs(graph, 'network-default').ingress = [{ protocol: '-1', self: true }]
      },
    ],
  },
  {
    name: 'the database takes no connection without TLS, and ends statements that nobody waits for',
    faults: graph =>
      faulty(all(graph, 'rds/instance'), ({ parameterGroupName }) => {
        const group = all(graph, 'rds/parameterGroup').find(
          ({ inputs: { name } }) => name === parameterGroupName,
        )
        const value = (wanted: string) =>
          group?.inputs.parameters.find(({ name }: Inputs) => name === wanted)?.value
        if (value('rds.force_ssl') !== '1') return 'takes plain connections'
        return !(Number(value('statement_timeout')) > 0) && 'runs a statement for ever'
      }),
    plants: [
      graph => without(graph, 'database-parameters'),
      graph => {
        inputs(graph, 'database-parameters').parameters[0].value = '0'
      },
    ],
  },
  {
    name: 'who came to the balancer and whom the network refused is written down, for as long as other logs are kept',
    faults: graph => {
      const into = [
        ...all(graph, 'lb/loadBalancer').map(({ inputs: { accessLogs: of } }) =>
          of?.enabled ? `${of.bucket}/${of.prefix}` : 'nowhere',
        ),
        ...all(graph, 'ec2/flowLog').map(({ inputs: of }) =>
          of.trafficType === 'ACCEPT' ? 'nowhere' : of.logDestination.replace(/^.*:|\/$/g, ''),
        ),
      ]
      const { bucket } = inputs(graph, 'bucket-logs')
      const allowed = statements(graph)
        .filter(({ from, Effect }) => from === 'bucket-logs-policy' && Effect === 'Allow')
        .flatMap(({ Resource }) => list(Resource))
      const days = inputs(graph, 'logs-gateway').retentionInDays
      const kept = all(graph, 's3/bucketLifecycleConfiguration')
        .find(({ name }) => name === 'bucket-logs-lifecycle')
        ?.inputs.rules.find(({ status }: Inputs) => status === 'Enabled')?.expiration?.days
      return [
        ...['balancer', 'network']
          .filter(prefix => !into.includes(`${bucket}/${prefix}`))
          .map(prefix => `${prefix}: is not written down`),
        ...['balancer', 'network']
          .filter(
            prefix =>
              !allowed.some(of => of.includes(`:${bucket}/${prefix}/AWSLogs/123456789012/`)),
          )
          .map(prefix => `bucket-logs-policy: nobody may write of the ${prefix}`),
        ...(kept === days ? [] : [`bucket-logs: keeps logs for ${kept} days, others for ${days}`]),
      ]
    },
    plants: [
      graph => {
        inputs(graph, 'router-balancer').accessLogs.enabled = false
      },
      graph => without(graph, 'network-refused'),
      graph => {
        inputs(graph, 'network-refused').trafficType = 'ACCEPT'
      },
      graph => without(graph, 'bucket-logs-policy'),
      graph =>
        change(graph, 'bucket-logs-policy', all => {
          for (const each of all) each.Resource = 'arn:aws:s3:::another/*'
        }),
      graph => without(graph, 'bucket-logs-lifecycle'),
      graph => {
        inputs(graph, 'bucket-logs-lifecycle').rules[0].expiration.days = 7
      },
    ],
  },
  {
    name: 'each zone that is used has a subnet of each kind, and production a NAT in each',
    faults: graph => {
      const zonesOf = (kind: string) =>
        all(graph, 'ec2/subnet')
          .filter(({ name }) => name.startsWith(`subnet-${kind}-`))
          .map(({ inputs: { availabilityZone } }) => availabilityZone)
      const faults = ['public', 'private', 'database'].flatMap(kind => {
        const zones = new Set(zonesOf(kind))
        return zones.size < 2 ? [`${kind} subnets: stand in ${zones.size} zones`] : []
      })
      const nats = all(graph, 'ec2/natGateway').length
      const zones = zonesOf('private').length
      if (graph.stage === 'production' && nats < zones)
        faults.push(`${nats} NAT gateways for ${zones} zones`)
      return faults
    },
    plants: [
      graph => without(graph, 'nat-2'),
      graph => {
        for (const at of [1, 2, 3])
          inputs(graph, `subnet-private-${at}`).availabilityZone = 'eu-central-1a'
      },
    ],
  },
]

const PUBLIC = 'stands in a public subnet, or in none'
const ingress = (graph: Graph) =>
  all(graph, 'ec2/securityGroupRule').filter(({ inputs: { type } }) => type === 'ingress')
