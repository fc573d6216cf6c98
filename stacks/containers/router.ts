/** The router: a small service on on-demand capacity behind a load balancer that lets the edge in alone. */
import * as ec2 from '@pulumi/aws/ec2/index.js'
import * as ecs from '@pulumi/aws/ecs/index.js'
import * as discovery from '@pulumi/aws/servicediscovery/index.js'
import * as pulumi from '@pulumi/pulumi'
import type { Network } from '../network.ts'
import { type Secrets, traceHeadersIn } from '../secrets.ts'
import { type Deployment, edgeHostOf, hostOf, nameOf, tagsOf, tracesOf } from '../settings.ts'
import type { Traffic } from '../watching/traffic.ts'
import { type Balancer, balancerOf } from './balancer.ts'
import { taskOf } from './task.ts'

/** Where the edge asks it, callers of gRPC reach it, and runners dial in. */
const HTTP_PORT = 8080
const GRPC_PORT = 8001
const CHANNEL_PORT = 7070
/** From its start until it must be healthy: an image is there by then. */
const STARTS_S = 60

export type Router = Balancer & { dialled: pulumi.Output<string> }
type Needs = { network: Network; secrets: Secrets; traffic: Traffic }

export function router(deployment: Deployment, { network, secrets, traffic }: Needs): Router {
  const { settings, images } = deployment
  const tags = tagsOf(deployment, 'router')
  const name = nameOf(deployment, 'router')
  const made = balancerOf(deployment, { network, traffic }, { http: HTTP_PORT, grpc: GRPC_PORT })
  const { targets } = made
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
    // What a service uses is told without it; its metrics are paid for one by one, and nobody reads them.
    settings: [{ name: 'containerInsights', value: 'disabled' }],
    tags,
  })
  const task = taskOf(deployment, {
    name: 'router',
    part: 'router',
    image: images.router,
    // It knows edge and runners by their keys, and ships what a lost runner left as the edge does.
    secrets: {
      GALLEY_EDGE_KEY: secrets.router,
      GALLEY_RUNNER_KEY: secrets.runner,
      ...traceHeadersIn(secrets),
    },
    key: secrets.key,
    environment: {
      ...tracesOf(deployment),
      GALLEY_ROUTER_PORT: String(HTTP_PORT),
      GALLEY_CHANNEL_PORT: String(CHANNEL_PORT),
      // On every address of the container.
      GALLEY_HOST: '0.0.0.0',
      GALLEY_GRPC_PORT: String(GRPC_PORT),
      GALLEY_FUNCTIONS_URL: `https://${hostOf(deployment, 'functions')}`,
      GALLEY_FEATURES_URL: `https://${edgeHostOf(deployment)}`,
    },
    healthPort: HTTP_PORT,
    ports: [HTTP_PORT, GRPC_PORT, CHANNEL_PORT],
    memoryMb: 1024,
    fargate: { cpu: '512', memory: '1024' },
  })
  rule(network, 'router-from-balancer', 'balancer', HTTP_PORT)
  rule(network, 'router-from-balancer-grpc', 'balancer', GRPC_PORT)
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
        { targetGroupArn: targets.http.arn, containerName: 'router', containerPort: HTTP_PORT },
        { targetGroupArn: targets.grpc.arn, containerName: 'router', containerPort: GRPC_PORT },
      ],
      healthCheckGracePeriodSeconds: STARTS_S,
      serviceRegistries: { registryArn: addresses.arn },
      // The new one is there before the old one goes.
      deploymentMinimumHealthyPercent: 100,
      deploymentMaximumPercent: 200,
      deploymentCircuitBreaker: { enable: true, rollback: true },
      availabilityZoneRebalancing: 'ENABLED',
      enableExecuteCommand: false,
      propagateTags: 'SERVICE',
      tags,
    },
    // A target group that no listener leads to takes no service.
    { dependsOn: [...made.listening, ...network.waysOut] },
  )
  const dialled = pulumi.interpolate`router.${namespace.name}:${CHANNEL_PORT}`
  return { ...made, dialled }
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
