/** Who says how many runners there are. */
import type { Graph, Inputs } from '../../graph.ts'
import { all, faulty, inputs, type Rule } from '../../rule.ts'
import { change, list, statements } from '../access.ts'

/** Whatever sets how many tasks there are. */
const SIZES = /^ecs:(UpdateService|RunTask|StartTask|StopTask|CreateService|DeleteService)$/

/** The name of a cluster by its ARN. */
const clusterOf = (arn: string) => arn.split(/[:/]/).at(-1)!
const serviceArn = (cluster: string, service: string) =>
  `arn:aws:ecs:eu-central-1:123456789012:service/${cluster}/${service}`

function sizing(graph: Graph, edit: (statement: Inputs) => void): void {
  change(graph, 'policy-capacity', all => {
    for (const each of all) if (list(each.Action).some(action => SIZES.test(action))) edit(each)
  })
}

/** Changes what the function is told of the pools. */
function retell(graph: Graph, edit: (pools: Inputs) => void): void {
  const { variables } = inputs(graph, 'function-capacity').environment
  const pools = JSON.parse(variables.GALLEY_RUNNER_POOLS)
  edit(pools)
  variables.GALLEY_RUNNER_POOLS = JSON.stringify(pools)
}

export const sizingRules: Rule[] = [
  {
    name: 'one function may say how many runners there are, and of no other service',
    faults: graph => {
      const pools = all(graph, 'ecs/service').filter(({ name }) => name.startsWith('runners-'))
      const arns = pools.map(({ inputs: of }) => serviceArn(clusterOf(of.cluster), of.name))
      const able = statements(graph).filter(
        ({ Effect, Action }) =>
          Effect === 'Allow' && list(Action).some(action => SIZES.test(action)),
      )
      const allowed = able.flatMap(({ Resource }) => list(Resource))
      return [
        ...able
          .filter(({ from }) => from !== 'policy-capacity')
          .map(({ from }) => `${from}: may say how many tasks there are`),
        ...allowed.filter(arn => !arns.includes(arn)).map(arn => `${arn}: may be sized`),
        ...arns.filter(arn => !allowed.includes(arn)).map(arn => `${arn}: may be sized by nobody`),
      ]
    },
    plants: [
      graph =>
        sizing(graph, each => {
          each.Resource = list(each.Resource).slice(1)
        }),
      graph =>
        sizing(graph, each => {
          const router = serviceArn('galley-production-router', 'galley-production-router')
          each.Resource = [...list(each.Resource), router]
        }),
      graph =>
        sizing(graph, each => {
          each.Resource = serviceArn('galley-production-runners', '*')
        }),
      graph =>
        change(graph, 'policy-sweep', all => {
          const Resource = serviceArn('galley-production-runners', 'galley-production-runners-cpu')
          all.push({ Effect: 'Allow', Action: ['ecs:UpdateService'], Resource })
        }),
    ],
  },
  {
    name: 'each pool of runners is sized by the clock, from its floor to no more than it has machines for',
    faults: graph => {
      const { variables } = inputs(graph, 'function-capacity').environment
      const told = JSON.parse(variables.GALLEY_RUNNER_POOLS)
      const pools = all(graph, 'ecs/service').filter(({ name }) => name.startsWith('runners-'))
      const called = all(graph, 'scheduler/schedule').some(({ inputs: { target } }) =>
        String(target.arn).endsWith(`:${inputs(graph, 'function-capacity').name}`),
      )
      return [
        ...(called ? [] : ['function-capacity: is called by no schedule']),
        ...faulty(pools, ({ name, cluster, capacityProviderStrategies = [] }, of) => {
          const place = told[of.name.replace('runners-', '')]
          if (place?.service !== name) return 'is sized by nobody'
          if (clusterOf(cluster) !== variables.GALLEY_RUNNER_CLUSTER)
            return 'is looked for in another cluster'
          const base = Math.max(...capacityProviderStrategies.map((each: Inputs) => each.base))
          if (place.floor !== base) return `is kept at ${place.floor}, and its floor is ${base}`
          const machines = inputs(graph, `${of.name}-spot`).maxSize
          return place.ceiling > machines && `may grow to ${place.ceiling} on ${machines} machines`
        }),
      ]
    },
    plants: [
      graph => retell(graph, pools => delete pools.gpu),
      graph => retell(graph, pools => Object.assign(pools.cpu, { floor: 0 })),
      graph => retell(graph, pools => Object.assign(pools.cpu, { ceiling: 1_000 })),
      graph => {
        inputs(graph, 'function-capacity').environment.variables.GALLEY_RUNNER_CLUSTER = 'default'
      },
      graph => {
        inputs(graph, 'schedule-capacity').target.arn = 'arn:aws:lambda:…:galley-production-sweep'
      },
    ],
  },
]
