/** The router: a small service on on-demand capacity behind a load balancer that lets the edge in alone. */
import * as ec2 from '@pulumi/aws/ec2/index.js'
import * as ecs from '@pulumi/aws/ecs/index.js'
import * as lb from '@pulumi/aws/lb/index.js'
import * as discovery from '@pulumi/aws/servicediscovery/index.js'
import { getIpRangesOutput } from '@pulumi/cloudflare/getIpRanges.js'
import * as pulumi from '@pulumi/pulumi'
import { certificateOf, nameAt } from '../edge.ts'
import type { Network } from '../network.ts'
import type { Secrets } from '../secrets.ts'
import { type Deployment, edgeHostOf, hostOf, nameOf, tagsOf } from '../settings.ts'
import { taskOf } from './task.ts'

const HTTP_PORT = 8080
/** Where runners dial in. */
const CHANNEL_PORT = 7070

export type Router = { balancer: lb.LoadBalancer; dialled: pulumi.Output<string> }
type Needs = { network: Network; secrets: Secrets }

export function router(deployment: Deployment, { network, secrets }: Needs): Router {
  const { settings, images } = deployment
  const tags = tagsOf(deployment, 'router')
  const name = nameOf(deployment, 'router')
  const { balancer, target, listener } = balancerOf(deployment, network)
  // Each router by its own address: a runner dials all of them, a balancer would give it one.
  const namespace = new discovery.PrivateDnsNamespace('names', {
    name: `${deployment.stage}.galley.internal`,
    vpc: network.vpc.id,
    tags,
  })
  const addresses = new discovery.Service('router-addresses', {
    name: 'router',
    dnsConfig: {
      namespaceId: namespace.id,
      dnsRecords: [{ type: 'A', ttl: 10 }],
      routingPolicy: 'MULTIVALUE',
    },
    tags,
  })
  const cluster = new ecs.Cluster('router-cluster', {
    name,
    settings: [{ name: 'containerInsights', value: 'enabled' }],
    tags,
  })
  const task = taskOf(deployment, {
    name: 'router',
    part: 'router',
    image: images.router,
    // It knows edge and runners by their keys, and ships what a lost runner left as the edge does.
    secrets: { GALLEY_EDGE_KEY: secrets.router, GALLEY_RUNNER_KEY: secrets.runner },
    key: secrets.key,
    environment: {
      GALLEY_ROUTER_PORT: String(HTTP_PORT),
      GALLEY_CHANNEL_PORT: String(CHANNEL_PORT),
      GALLEY_FUNCTIONS_URL: `https://${hostOf(deployment, 'functions')}`,
      GALLEY_FEATURES_URL: `https://${edgeHostOf(deployment)}`,
    },
    healthPort: HTTP_PORT,
    ports: [HTTP_PORT, CHANNEL_PORT],
    memoryMb: 1024,
    fargate: { cpu: '512', memory: '1024' },
  })
  rule(network, 'router-from-balancer', 'balancer', HTTP_PORT)
  rule(network, 'router-from-runners', 'runners', CHANNEL_PORT)
  new ecs.Service(
    'router',
    {
      name,
      cluster: cluster.arn,
      taskDefinition: task.arn,
      desiredCount: settings.routers,
      launchType: 'FARGATE',
      networkConfiguration: {
        subnets: network.privateSubnets.map(({ id }) => id),
        securityGroups: [network.groups.router.id],
        assignPublicIp: false,
      },
      loadBalancers: [
        { targetGroupArn: target.arn, containerName: 'router', containerPort: HTTP_PORT },
      ],
      serviceRegistries: { registryArn: addresses.arn },
      // The new one is there before the old one goes.
      deploymentMinimumHealthyPercent: 100,
      deploymentMaximumPercent: 200,
      deploymentCircuitBreaker: { enable: true, rollback: true },
      propagateTags: 'SERVICE',
      tags,
    },
    { dependsOn: listener },
  )
  const dialled = pulumi.interpolate`router.${namespace.name}:${CHANNEL_PORT}`
  return { balancer, dialled }
}

function balancerOf(deployment: Deployment, network: Network) {
  const tags = tagsOf(deployment, 'router')
  const cloudflare = getIpRangesOutput()
  new ec2.SecurityGroupRule('balancer-from-edge', {
    type: 'ingress',
    securityGroupId: network.groups.balancer.id,
    cidrBlocks: cloudflare.ipv4Cidrs,
    protocol: 'tcp',
    fromPort: 443,
    toPort: 443,
    description: 'The edge alone',
  })
  new ec2.SecurityGroupRule('balancer-to-router', {
    type: 'egress',
    securityGroupId: network.groups.balancer.id,
    sourceSecurityGroupId: network.groups.router.id,
    protocol: 'tcp',
    fromPort: HTTP_PORT,
    toPort: HTTP_PORT,
    description: 'The router alone',
  })
  const balancer = new lb.LoadBalancer('router-balancer', {
    name: nameOf(deployment, 'router'),
    loadBalancerType: 'application',
    internal: false,
    securityGroups: [network.groups.balancer.id],
    subnets: network.publicSubnets.map(({ id }) => id),
    dropInvalidHeaderFields: true,
    enableDeletionProtection: deployment.settings.isProtected,
    // Longer than the longest answer of a model.
    idleTimeout: 120,
    tags,
  })
  const target = new lb.TargetGroup('router-target', {
    name: nameOf(deployment, 'router'),
    port: HTTP_PORT,
    protocol: 'HTTP',
    targetType: 'ip',
    vpcId: network.vpc.id,
    deregistrationDelay: 30,
    healthCheck: { path: '/health/ready', interval: 10, healthyThreshold: 2 },
    tags,
  })
  const listener = new lb.Listener('router-listener', {
    loadBalancerArn: balancer.arn,
    port: 443,
    protocol: 'HTTPS',
    sslPolicy: 'ELBSecurityPolicy-TLS13-1-2-2021-06',
    certificateArn: certificateOf(deployment, 'router'),
    defaultActions: [{ type: 'forward', targetGroupArn: target.arn }],
    tags,
  })
  nameAt(deployment, 'router', balancer.dnsName)
  return { balancer, target, listener }
}

function rule(network: Network, name: string, from: 'balancer' | 'runners', port: number): void {
  new ec2.SecurityGroupRule(name, {
    type: 'ingress',
    securityGroupId: network.groups.router.id,
    sourceSecurityGroupId: network.groups[from].id,
    protocol: 'tcp',
    fromPort: port,
    toPort: port,
    description: `From ${from}`,
  })
}
