/** What must be there before something starts, and what it must be allowed so that it can. */
import type { Graph, Inputs } from '../graph.ts'
import { all, faulty, inputs, one, type Rule } from '../rule.ts'
import { change, list, statements } from './access.ts'

/**
 * What the agent of ECS calls on a machine whose tasks have addresses of their own, and on what IAM asks for it
 * (service authorization reference of ECS).
 */
const AGENT: Record<string, 'cluster' | 'container-instance' | null> = {
  RegisterContainerInstance: 'cluster',
  DeregisterContainerInstance: 'cluster',
  UpdateContainerInstancesState: 'container-instance',
  DiscoverPollEndpoint: null,
  Poll: 'container-instance',
  StartTelemetrySession: 'container-instance',
  SubmitTaskStateChange: 'cluster',
  SubmitContainerStateChange: 'cluster',
  SubmitAttachmentStateChanges: 'cluster',
}

/** Routes, their subnets and the rules of groups by which functions and containers go out. */
const waysOut = (graph: Graph) =>
  [
    ...all(graph, 'ec2/routeTableAssociation'),
    ...all(graph, 'ec2/route').filter(({ inputs: { natGatewayId } }) => natGatewayId),
    ...all(graph, 'ec2/securityGroupRule').filter(({ name }) => name.startsWith('out-')),
  ].map(({ name }) => name)

export const startRules: Rule[] = [
  {
    name: 'what has a public address comes after the way to the internet',
    faults: graph =>
      faulty(
        [
          ...['ec2/natGateway', 'ec2/eip'].flatMap(type => all(graph, type)),
          ...all(graph, 'lb/loadBalancer').filter(({ inputs: { internal } }) => !internal),
        ],
        (_, { after }) => !after.includes('route-public') && 'may be made in a closed network',
      ),
    plants: ['nat-1', 'nat-ip-2', 'router-balancer'].map(name => graph => {
      one(graph, name).after = []
    }),
  },
  {
    name: 'what goes out as soon as it starts comes after its ways out, and what asks the database after its door',
    faults: graph => [
      ...faulty(
        [...all(graph, 'lambda/invocation'), ...all(graph, 'ecs/service')],
        (_, { after }) => {
          const missing = waysOut(graph).filter(name => !after.includes(name))
          return missing.length > 0 && `may start before ${missing}`
        },
      ),
      ...faulty(
        all(graph, 'rds/instance'),
        (_, { after }) => !after.includes('database-from-functions') && 'is there before its door',
      ),
    ],
    plants: [
      graph => {
        one(graph, 'migrations').after = []
      },
      graph => {
        const of = one(graph, 'router')
        of.after = of.after.filter(name => name !== 'route-private-2')
      },
      graph => {
        const of = one(graph, 'runners-gpu')
        of.after = of.after.filter(name => name !== 'out-runners')
      },
      graph => {
        one(graph, 'database').after = []
      },
    ],
  },
  {
    name: 'the agent on a machine of runners may call all that it calls',
    faults: graph => {
      const cluster = inputs(graph, 'runner-cluster').name
      const may = statements(graph).filter(
        ({ from, Effect }) => from === 'policy-runner-machine' && Effect === 'Allow',
      )
      return Object.entries(AGENT)
        .filter(
          ([call, kind]) =>
            !may.some(
              ({ Action, Resource }) =>
                list(Action).includes(`ecs:${call}`) &&
                list(Resource).some(of => isKind(of, kind, cluster)),
            ),
        )
        .map(([call, kind]) => `policy-runner-machine: does not allow ecs:${call} on a ${kind}`)
    },
    plants: [
      graph => agent(graph, all => withoutCall(all, 'ecs:SubmitAttachmentStateChanges')),
      graph => agent(graph, all => withoutCall(all, 'ecs:Poll')),
      graph =>
        agent(graph, ([joins, ...others]) => {
          withoutCall(others, 'ecs:UpdateContainerInstancesState')
          joins!.Action = [...list(joins!.Action), 'ecs:UpdateContainerInstancesState']
        }),
    ],
  },
]

/** The mocks end the ARN of a cluster with its name. */
function isKind(arn: string, kind: string | null, cluster: string): boolean {
  if (kind === null) return arn === '*'
  return kind === 'cluster' ? arn.endsWith(`:${cluster}`) : arn.includes(`:${kind}/${cluster}/`)
}

const agent = (graph: Graph, edit: (statements: Inputs[]) => void) =>
  change(graph, 'policy-runner-machine', edit)
function withoutCall(statements: Inputs[], action: string): void {
  for (const each of statements) each.Action = list(each.Action).filter(of => of !== action)
}
