/** Which runners receive what: each class of machines has queues of its own. */
import { POOL_PRICES, USUAL_CLASS } from '../../../../schemas/cloud/pools.ts'
import { queuesOf } from '../../../../schemas/queues.ts'
import type { Graph, Inputs } from '../../graph.ts'
import { inputs, type Rule, without } from '../../rule.ts'
import { change, list, statements } from '../access.ts'

const arnAs = (graph: Graph, queue: string) =>
  `arn:aws:sqs:eu-central-1:123456789012:${inputs(graph, queue).name}`

/** What the container of a pool's runners is told. */
function toldOf(graph: Graph, pool: string): Record<string, string> {
  const [container] = JSON.parse(inputs(graph, `task-runner-${pool}`).containerDefinitions)
  const pairs = container.environment as { name: string; value: string }[]
  return Object.fromEntries(pairs.map(({ name, value }) => [name, value]))
}

function receiving(graph: Graph, pool: string, edit: (arns: string[]) => void): void {
  change(graph, `policy-runner-${pool}`, all => {
    for (const each of all)
      if (list(each.Action).includes('sqs:ReceiveMessage')) edit(each.Resource)
  })
}

function retold(graph: Graph, pool: string, from: string, to: string): void {
  const asked = inputs(graph, `task-runner-${pool}`)
  asked.containerDefinitions = asked.containerDefinitions.replace(from, to)
}

/** Those that the function which sizes them is told of. */
function poolsIn(graph: Graph): string[] {
  const { GALLEY_RUNNER_POOLS } = inputs(graph, 'function-capacity').environment.variables
  return Object.keys(JSON.parse(GALLEY_RUNNER_POOLS))
}

export const classRules: Rule[] = [
  {
    name: 'work for a class of machines is received by its runners alone, which receive nothing else',
    faults: graph =>
      poolsIn(graph).flatMap(pool => {
        const from = `policy-runner-${pool}`
        const isDedicated = pool !== USUAL_CLASS
        const wanted = (['work', 'validate'] as const)
          .flatMap(work => queuesOf(work, { hardware: pool, isDedicated }))
          .map(name => arnAs(graph, `queue-${name}`))
        const able = statements(graph)
          .filter(statement => statement.from === from && statement.Effect === 'Allow')
          .filter(({ Action }) => list(Action).includes('sqs:ReceiveMessage'))
          .flatMap(({ Resource }) => list(Resource))
        const { GALLEY_HARDWARE, GALLEY_DEDICATED } = toldOf(graph, pool)
        const isTold = GALLEY_HARDWARE === pool && GALLEY_DEDICATED === String(isDedicated)
        return [
          ...wanted
            .filter(arn => !able.includes(arn))
            .map(arn => `${from}: may not receive ${arn}`),
          ...able.filter(arn => !wanted.includes(arn)).map(arn => `${from}: may receive ${arn}`),
          ...(isTold ? [] : [`task-runner-${pool}: looks for what is not its own`]),
        ]
      }),
    plants: [
      graph => receiving(graph, 'gpu', arns => arns.push(arnAs(graph, 'queue-work'))),
      graph => receiving(graph, 'cpu', arns => arns.push(arnAs(graph, 'queue-validate-gpu'))),
      graph => receiving(graph, 'gpu', arns => arns.pop()),
      graph => retold(graph, 'gpu', '"GALLEY_DEDICATED","value":"true"', '"A","value":"true"'),
      graph => retold(graph, 'gpu', '"GALLEY_HARDWARE","value":"gpu"', '"A","value":"gpu"'),
    ],
  },
  {
    name: 'each pool of the table has its runners, and one without an image has none of their parts',
    faults: graph => {
      const parts = (pool: string) =>
        graph.resources.filter(
          ({ name }) => name.endsWith(`-${pool}`) && !/^(queue|redrive)-/.test(name),
        )
      return Object.keys(POOL_PRICES).flatMap(pool => {
        if (poolsIn(graph).includes(pool))
          return graph.resources.some(({ name }) => name === `runners-${pool}`)
            ? []
            : [`runners-${pool}: is sized, and not there`]
        return pool === USUAL_CLASS
          ? [`runners-${pool}: is missing`]
          : parts(pool).map(({ name }) => `${name}: is there, and nobody sizes it`)
      })
    },
    plants: [
      graph => without(graph, 'runners-gpu'),
      graph => {
        const { variables } = inputs(graph, 'function-capacity').environment
        const { cpu } = JSON.parse(variables.GALLEY_RUNNER_POOLS)
        variables.GALLEY_RUNNER_POOLS = JSON.stringify({ cpu })
      },
      graph => {
        const { variables } = inputs(graph, 'function-capacity').environment
        const { gpu } = JSON.parse(variables.GALLEY_RUNNER_POOLS)
        variables.GALLEY_RUNNER_POOLS = JSON.stringify({ gpu })
      },
    ],
  },
  {
    name: 'a class is published for exactly when a pool of it may grow',
    faults: graph => {
      const { GALLEY_RUNNER_POOLS } = inputs(graph, 'function-capacity').environment.variables
      const pools = Object.entries(JSON.parse(GALLEY_RUNNER_POOLS) as Record<string, Inputs>)
      const able = pools.filter(([, { ceiling }]) => ceiling > 0).map(([pool]) => pool)
      const told = inputs(graph, 'function-api').environment.variables.GALLEY_RUNNER_CLASSES
      return told === able.join() ? [] : [`function-api: takes versions for ${told}, not ${able}`]
    },
    plants: [
      graph => {
        inputs(graph, 'function-api').environment.variables.GALLEY_RUNNER_CLASSES = 'cpu'
      },
    ],
  },
]
