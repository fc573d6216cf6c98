/** The load balancer of routers: who reaches it, what it leads to, and how a router leaves it. */
import { readFileSync } from 'node:fs'
import { BALANCER_IDLE_S } from '../../../schemas/cloud/balancer.ts'
import type { Graph, Inputs } from '../graph.ts'
import { all, faulty, inputs, one, type Rule, without } from '../rule.ts'

const PROTO = new URL('../../../schemas/contracts/inference.proto', import.meta.url)

const targets = (graph: Graph) => all(graph, 'lb/targetGroup')
const service = (graph: Graph): Inputs => inputs(graph, 'router')
const container = (graph: Graph): Inputs =>
  JSON.parse(inputs(graph, 'task-router').containerDefinitions)[0]

function rewrite(graph: Graph, edit: (container: Inputs) => void): void {
  const first = container(graph)
  edit(first)
  inputs(graph, 'task-router').containerDefinitions = JSON.stringify([first])
}

/** On which ports the program listens for its balancer, and on how many addresses. */
function listens(graph: Graph): Map<number, string> {
  const said = container(graph).environment.map(({ name, value }: Inputs) => [name, value])
  const env = Object.fromEntries(said)
  return new Map([
    // The image says that this one is on every address.
    [Number(env.GALLEY_ROUTER_PORT), '0.0.0.0'],
    [Number(env.GALLEY_GRPC_PORT), env.GALLEY_HOST],
  ])
}

/** Whether security groups let packets from the balancer to the router on this port, at both ends. */
function isOpen(graph: Graph, port: number): boolean {
  const has = (type: string, at: string, other: string) =>
    all(graph, 'ec2/securityGroupRule').some(
      ({ inputs: of }) =>
        of.type === type &&
        of.securityGroupId === `group-${at}-id` &&
        of.sourceSecurityGroupId === `group-${other}-id` &&
        of.fromPort === port &&
        of.toPort === port,
    )
  return has('egress', 'balancer', 'router') && has('ingress', 'router', 'balancer')
}

/** What a router answers to whoever asks for its health, by protocol. */
function isHealth(of: Inputs): boolean {
  const { path, matcher } = of.healthCheck
  if (of.protocolVersion !== 'GRPC') return path === '/health/ready'
  const text = readFileSync(PROTO, 'utf8')
  const within = `/${/^package (\w+);/m.exec(text)![1]}.${/^service (\w+)/m.exec(text)![1]}/`
  return matcher === '0' && path === `${within}ServerLive` && /rpc ServerLive\(/.test(text)
}

export const balancerRules: Rule[] = [
  {
    name: 'the balancer takes connections from Cloudflare alone, and callers of gRPC come through its proxy',
    faults: graph => {
      const ranges = inputs(graph, 'balancer-from-edge').cidrBlocks
      const into = all(graph, 'ec2/securityGroupRule').filter(
        ({ inputs: of }) => of.type === 'ingress' && of.securityGroupId === 'group-balancer-id',
      )
      const grpc = all(graph, 'index/dnsRecord').find(({ name }) => name === 'name-grpc')
      return [
        ...faulty(into, ({ cidrBlocks, sourceSecurityGroupId, fromPort, toPort }) => {
          if (sourceSecurityGroupId || !ranges.every((cidr: string) => CLOUDFLARE.includes(cidr)))
            return 'lets others in than Cloudflare'
          return (
            (cidrBlocks !== ranges || fromPort !== 443 || toPort !== 443) && 'is a second way in'
          )
        }),
        ...(grpc ? [] : ['name-grpc: is missing']),
        ...faulty(grpc ? [grpc] : [], ({ proxied, ttl }) =>
          proxied !== true || ttl !== 1 ? 'leads past the proxy to the balancer' : false,
        ),
      ]
    },
    plants: [
      graph => {
        inputs(graph, 'name-grpc').proxied = false
      },
      graph => without(graph, 'name-grpc'),
      graph => {
        inputs(graph, 'balancer-from-edge').cidrBlocks = ['198.51.100.0/24']
      },
      graph => {
        inputs(graph, 'balancer-from-edge').fromPort = 0
      },
    ],
  },
  {
    name: 'each target group leads to a port on which routers listen for everybody, and asks there for their health',
    faults: graph => {
      const { loadBalancers } = service(graph)
      const published = container(graph).portMappings.map((each: Inputs) => each.containerPort)
      return faulty(targets(graph), ({ port, healthCheck, ...of }, { name }) => {
        const led = loadBalancers.find(
          (each: Inputs) =>
            each.targetGroupArn.endsWith(`:${of.name}`) && each.containerPort === port,
        )
        if (!led) return 'has no router'
        if (!published.includes(port) || listens(graph).get(port) !== '0.0.0.0')
          return 'leads to a port on which nobody listens'
        if (!isOpen(graph, port)) return 'leads through a closed security group'
        if (!isHealth({ healthCheck, ...of })) return 'asks for health where there is none'
        const isLed = [...all(graph, 'lb/listener'), ...all(graph, 'lb/listenerRule')].some(each =>
          [...(each.inputs.defaultActions ?? []), ...(each.inputs.actions ?? [])].some(
            ({ targetGroupArn }) => targetGroupArn.endsWith(`:${of.name}`),
          ),
        )
        return !isLed && `${name} is led to by no listener`
      })
    },
    plants: [
      graph => {
        service(graph).loadBalancers.pop()
      },
      graph =>
        rewrite(graph, each => {
          each.environment = each.environment.filter(({ name }: Inputs) => name !== 'GALLEY_HOST')
        }),
      graph =>
        rewrite(graph, each => {
          each.environment = each.environment.filter(
            ({ name }: Inputs) => name !== 'GALLEY_GRPC_PORT',
          )
        }),
      graph => rewrite(graph, each => each.portMappings.splice(1, 1)),
      graph => without(graph, 'router-from-balancer-grpc'),
      graph => without(graph, 'balancer-to-router-http'),
      graph => {
        inputs(graph, 'router-grpc-target').healthCheck.path = '/health/ready'
      },
      graph => delete inputs(graph, 'router-grpc-target').healthCheck.matcher,
      graph => delete inputs(graph, 'router-grpc-target').protocolVersion,
      graph => {
        inputs(graph, 'router-target').healthCheck.path = '/'
      },
      graph => without(graph, 'grpc-calls'),
    ],
  },
  {
    name: 'a request that was begun is answered before its router goes, and a new router has time to start',
    faults: graph => [
      ...faulty(
        targets(graph),
        ({ deregistrationDelay: s }) => !(s >= BALANCER_IDLE_S) && `cuts requests off after ${s} s`,
      ),
      ...faulty(
        all(graph, 'lb/loadBalancer'),
        ({ idleTimeout: s }) =>
          s !== BALANCER_IDLE_S && `thinks idle after ${s} s, and routers after another time`,
      ),
      ...faulty([one(graph, 'router')], ({ healthCheckGracePeriodSeconds: s }) =>
        !(s >= 30) ? 'is ended while it starts' : false,
      ),
    ],
    plants: [
      graph => {
        inputs(graph, 'router-grpc-target').deregistrationDelay = 5
      },
      graph => delete inputs(graph, 'router-target').deregistrationDelay,
      graph => {
        inputs(graph, 'router-balancer').idleTimeout = 60
      },
      graph => {
        inputs(graph, 'router-balancer').idleTimeout = 600
      },
      graph => delete service(graph).healthCheckGracePeriodSeconds,
    ],
  },
  {
    name: 'somebody is called when routers do not answer to a target group',
    faults: graph =>
      faulty(targets(graph), ({ name }) => {
        const watched = all(graph, 'cloudwatch/metricAlarm').some(
          ({ inputs: { metricName, threshold, dimensions } }) =>
            metricName === 'UnHealthyHostCount' &&
            threshold === 0 &&
            dimensions.TargetGroup?.endsWith(`/${name}`) &&
            dimensions.LoadBalancer.endsWith(`/${inputs(graph, 'router-balancer').name}`),
        )
        return !watched && 'fails and calls nobody'
      }),
    plants: [
      graph => without(graph, 'alarm-router-grpc-unhealthy'),
      graph => delete inputs(graph, 'alarm-router-http-unhealthy').dimensions.TargetGroup,
      graph => {
        inputs(graph, 'alarm-router-grpc-unhealthy').threshold = 5
      },
    ],
  },
  {
    name: 'each name that leads to the balancer has a certificate there, and calls over gRPC their own targets',
    faults: graph => {
      const held = [...all(graph, 'lb/listener'), ...all(graph, 'lb/listenerCertificate')].map(
        ({ inputs: { certificateArn } }) => certificateArn,
      )
      const certificates = all(graph, 'acm/certificate')
      const names = all(graph, 'index/dnsRecord').filter(
        ({ inputs: { content } }) =>
          content === `${inputs(graph, 'router-balancer').name}.elb.amazonaws.com`,
      )
      const hosts = inputs(graph, 'grpc-calls').conditions[0].hostHeader.values
      return [
        ...faulty(names, ({ name }) => {
          const certificate = certificates.find(each => each.inputs.domainName === name)
          const isHeld = held.some(arn => certificate && arn.includes(certificate.name))
          return !isHeld && `${name} has no certificate at the balancer`
        }),
        ...(hosts.includes(inputs(graph, 'name-grpc').name) && hosts.length === 1
          ? []
          : [`grpc-calls: takes the calls of ${hosts}`]),
      ]
    },
    plants: [
      graph => without(graph, 'grpc-certificate'),
      graph => without(graph, 'certificate-grpc'),
      graph => {
        inputs(graph, 'grpc-calls').conditions[0].hostHeader.values = ['router.galley.example']
      },
    ],
  },
]

/** What the mocks say that Cloudflare says of itself. */
const CLOUDFLARE = ['173.245.48.0/20']
