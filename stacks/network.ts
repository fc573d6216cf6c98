/**
 * One network: load balancer and NAT in public subnets, functions and containers in private ones, the
 * database in subnets without any way out.
 */
import * as ec2 from '@pulumi/aws/ec2/index.js'
import type * as pulumi from '@pulumi/pulumi'
import type { Deployment } from './settings.ts'
import { nameOf, tagsOf } from './settings.ts'

export type Network = ReturnType<typeof network>
const ANYWHERE = '0.0.0.0/0'

export function network(deployment: Deployment) {
  const { region, settings } = deployment
  const zones = deployment.zones.slice(0, settings.zones)
  if (zones.length < settings.zones)
    throw new Error(
      `Stage ${deployment.stage} uses ${settings.zones} availability zones, and ${zones.length} are given: name more in "zones".`,
    )
  const tags = (name: string) => ({
    ...tagsOf(deployment, 'network'),
    Name: nameOf(deployment, name),
  })
  const vpc = new ec2.Vpc('network', {
    cidrBlock: '10.40.0.0/16',
    enableDnsHostnames: true,
    enableDnsSupport: true,
    tags: tags('network'),
  })
  // Whoever forgets to name a security group gets one that lets nothing through.
  new ec2.DefaultSecurityGroup('network-default', { vpcId: vpc.id, tags: tags('default') })
  const gateway = new ec2.InternetGateway('internet', { vpcId: vpc.id, tags: tags('internet') })
  /** Of what must be there before whoever goes out by it starts. */
  const waysOut: pulumi.Resource[] = []
  const subnets = (kind: string, first: number, table: (at: number) => ec2.RouteTable) =>
    zones.map((availabilityZone, at) => {
      const name = `${kind}-${at + 1}`
      const subnet = new ec2.Subnet(`subnet-${name}`, {
        vpcId: vpc.id,
        availabilityZone,
        cidrBlock: `10.40.${first + at * 16}.0/20`,
        mapPublicIpOnLaunch: false,
        tags: tags(name),
      })
      const ids = { subnetId: subnet.id, routeTableId: table(at).id }
      waysOut.push(new ec2.RouteTableAssociation(`routes-${name}`, ids))
      return subnet
    })
  const table = (name: string) =>
    new ec2.RouteTable(`routes-${name}`, { vpcId: vpc.id, tags: tags(name) })

  const outside = table('public')
  // Public addresses are given to a network that the internet reaches.
  const internet = new ec2.Route('route-public', {
    routeTableId: outside.id,
    destinationCidrBlock: ANYWHERE,
    gatewayId: gateway.id,
  })
  const publicSubnets = subnets('public', 0, () => outside)
  const nats = publicSubnets.slice(0, settings.natGateways).map((subnet, at) => {
    const named = { tags: tags(`nat-${at + 1}`) }
    const ip = new ec2.Eip(`nat-ip-${at + 1}`, { domain: 'vpc', ...named }, { dependsOn: internet })
    const ids = { subnetId: subnet.id, allocationId: ip.id }
    return new ec2.NatGateway(`nat-${at + 1}`, { ...ids, ...named }, { dependsOn: internet })
  })
  const inside = nats.map((nat, at) => {
    const routes = table(`private-${at + 1}`)
    const ids = { routeTableId: routes.id, natGatewayId: nat.id }
    const route = { ...ids, destinationCidrBlock: ANYWHERE }
    waysOut.push(new ec2.Route(`route-private-${at + 1}`, route))
    return routes
  })
  const privateSubnets = subnets('private', 64, at => inside[at % inside.length]!)
  const closed = table('database')
  const databaseSubnets = subnets('database', 128, () => closed)
  // Blobs do not pass the NAT, which is paid by the gigabyte.
  new ec2.VpcEndpoint('blobs-endpoint', {
    vpcId: vpc.id,
    serviceName: `com.amazonaws.${region}.s3`,
    vpcEndpointType: 'Gateway',
    routeTableIds: inside.map(({ id }) => id),
    tags: tags('blobs-endpoint'),
  })

  const group = (name: string, description: string) =>
    new ec2.SecurityGroup(`group-${name}`, {
      name: nameOf(deployment, name),
      description,
      vpcId: vpc.id,
      tags: tags(name),
    })
  const groups = {
    balancer: group('balancer', 'The load balancer of the router'),
    router: group('router', 'The router'),
    runners: group('runners', 'Runners: nobody connects to them'),
    functions: group('functions', 'Functions: nobody connects to them'),
    database: group('database', 'The control database'),
  }
  for (const name of ['router', 'runners', 'functions'] as const)
    waysOut.push(
      new ec2.SecurityGroupRule(`out-${name}`, {
        type: 'egress',
        securityGroupId: groups[name].id,
        protocol: '-1',
        fromPort: 0,
        toPort: 0,
        cidrBlocks: [ANYWHERE],
        description: 'To the providers, and to the edge for objects',
      }),
    )
  return { vpc, publicSubnets, privateSubnets, databaseSubnets, groups, internet, waysOut }
}
