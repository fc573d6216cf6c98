/**
 * The load balancer of routers, which lets Cloudflare in alone: the edge, which asks over HTTP, and its proxy,
 * which hands calls over gRPC on as they are (`docs/decisions/0026-grpc-in-a-cloud.md`).
 */
import * as ec2 from '@pulumi/aws/ec2/index.js'
import * as lb from '@pulumi/aws/lb/index.js'
import { getIpRangesOutput } from '@pulumi/cloudflare/getIpRanges.js'
import type * as pulumi from '@pulumi/pulumi'
import { BALANCER_IDLE_S } from '../../schemas/cloud/balancer.ts'
import { certificateOf, nameAt } from '../edge.ts'
import type { Network } from '../network.ts'
import { type Deployment, hostOf, nameOf, tagsOf } from '../settings.ts'
import type { Traffic } from '../watching/traffic.ts'

const TLS = 'ELBSecurityPolicy-TLS13-1-2-2021-06'
/** Answered without a key, and without a runner. */
const LIVES = '/inference.GRPCInferenceService/ServerLive'
const GRPC_OK = '0'

type Protocol = 'http' | 'grpc'
type Ports = Record<Protocol, number>
export type Balancer = {
  balancer: lb.LoadBalancer
  targets: Record<Protocol, lb.TargetGroup>
  /** What leads to the targets. */
  listening: pulumi.Resource[]
}

export function balancerOf(
  deployment: Deployment,
  { network, traffic }: { network: Network; traffic: Traffic },
  ports: Ports,
): Balancer {
  letCloudflareIn(network, ports)
  const tags = tagsOf(deployment, 'router')
  const asked: lb.LoadBalancerArgs = {
    name: nameOf(deployment, 'router'),
    loadBalancerType: 'application',
    internal: false,
    securityGroups: [network.groups.balancer.id],
    subnets: network.publicSubnets.map(({ id }) => id),
    dropInvalidHeaderFields: true,
    enableDeletionProtection: deployment.settings.isProtected,
    idleTimeout: BALANCER_IDLE_S,
    accessLogs: { bucket: traffic.bucket.bucket, prefix: traffic.balancerPrefix, enabled: true },
    tags,
  }
  const dependsOn = [network.internet, traffic.granted]
  const balancer = new lb.LoadBalancer('router-balancer', asked, { dependsOn })
  const target = (name: string, port: number, of: Partial<lb.TargetGroupArgs>) =>
    new lb.TargetGroup(`${name}-target`, {
      name: nameOf(deployment, name),
      port,
      protocol: 'HTTP',
      targetType: 'ip',
      vpcId: network.vpc.id,
      // What was begun is answered.
      deregistrationDelay: BALANCER_IDLE_S,
      tags,
      ...of,
    })
  const often = { interval: 10, healthyThreshold: 2 }
  const targets = {
    http: target('router', ports.http, { healthCheck: { ...often, path: '/health/ready' } }),
    grpc: target('router-grpc', ports.grpc, {
      protocolVersion: 'GRPC',
      healthCheck: { ...often, path: LIVES, matcher: GRPC_OK },
    }),
  }
  const listener = new lb.Listener('router-listener', {
    loadBalancerArn: balancer.arn,
    port: 443,
    protocol: 'HTTPS',
    sslPolicy: TLS,
    certificateArn: certificateOf(deployment, 'router'),
    defaultActions: [{ type: 'forward', targetGroupArn: targets.http.arn }],
    tags,
  })
  const listenerArn = listener.arn
  new lb.ListenerCertificate('grpc-certificate', {
    listenerArn,
    certificateArn: certificateOf(deployment, 'grpc'),
  })
  const calls = new lb.ListenerRule('grpc-calls', {
    listenerArn,
    priority: 1,
    conditions: [{ hostHeader: { values: [hostOf(deployment, 'grpc')] } }],
    actions: [{ type: 'forward', targetGroupArn: targets.grpc.arn }],
    tags,
  })
  nameAt(deployment, 'router', balancer.dnsName)
  nameAt(deployment, 'grpc', balancer.dnsName, { isProxied: true })
  return { balancer, targets, listening: [listener, calls] }
}

function letCloudflareIn(network: Network, ports: Ports): void {
  const { balancer, router } = network.groups
  new ec2.SecurityGroupRule('balancer-from-edge', {
    type: 'ingress',
    securityGroupId: balancer.id,
    cidrBlocks: getIpRangesOutput().ipv4Cidrs,
    protocol: 'tcp',
    fromPort: 443,
    toPort: 443,
    description: 'Cloudflare alone',
  })
  for (const [protocol, port] of Object.entries(ports))
    new ec2.SecurityGroupRule(`balancer-to-router-${protocol}`, {
      type: 'egress',
      securityGroupId: balancer.id,
      sourceSecurityGroupId: router.id,
      protocol: 'tcp',
      fromPort: port,
      toPort: port,
      description: 'The router alone',
    })
}
