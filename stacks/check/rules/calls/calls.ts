/** Whether each place may do what its code calls, and nothing else. */
import type { Graph } from '../../graph.ts'
import type { Rule } from '../../rule.ts'
import { change, list, statements } from '../access.ts'
import { ACTIONS, NOBODY, PLACES } from './drivers.ts'

/** Done by Lambda itself with the role of a function. */
const OF_LAMBDA = /^(logs|ec2):/

const allowed = (graph: Graph, place: string): string[] =>
  statements(graph)
    .filter(({ from, Effect }) => from === `policy-${place}` && Effect === 'Allow')
    .flatMap(({ Action }) => list(Action))
    .filter(action => !OF_LAMBDA.test(action))

const take = (graph: Graph, place: string, action: string): void =>
  change(graph, `policy-${place}`, all => {
    for (const each of all)
      if (each.Effect === 'Allow') each.Action = list(each.Action).filter(of => of !== action)
  })
const give = (graph: Graph, place: string, action: string): void =>
  change(graph, `policy-${place}`, all =>
    all.push({ Effect: 'Allow', Action: [action], Resource: 'arn:aws:s3:::of-ours/blobs/*' }),
  )

/** A pool that a deployment has no image for has no role. */
const isThere =
  (graph: Graph) =>
  ([place]: [string, string[]]): boolean =>
    !place.startsWith('runner-') || graph.resources.some(({ name }) => name === `task-${place}`)

export const callRules: Rule[] = [
  {
    name: 'for each call of a driver it is known what must be allowed, and nothing is known of calls that nobody makes',
    faults: ({ texts: { calls } }) => [
      ...calls
        .filter(call => !(call in ACTIONS))
        .map(call => `${call}Command: is called, and stands in no row of drivers.ts`),
      ...Object.keys(ACTIONS)
        .filter(call => call !== 'TaskProtection' && !calls.includes(call))
        .map(call => `${call}Command: stands in drivers.ts, and nobody calls it`),
    ],
    plants: [
      graph => graph.texts.calls.push('PurgeQueue'),
      graph => {
        graph.texts.calls = graph.texts.calls.filter(call => call !== 'CopyObject')
      },
    ],
  },
  {
    name: 'each place may do what its code calls, and nothing that it does not call',
    faults: graph =>
      Object.entries(PLACES)
        .filter(isThere(graph))
        .flatMap(([place, calls]) => {
          const needs = new Set(calls.flatMap(call => ACTIONS[call]!))
          const may = new Set(allowed(graph, place))
          return [
            ...[...needs]
              .filter(action => !may.has(action))
              .map(action => `policy-${place}: its code needs ${action}`),
            ...[...may]
              .filter(action => !needs.has(action))
              .map(action => `policy-${place}: allows ${action}, which nothing there calls`),
          ]
        }),
    plants: [
      graph => take(graph, 'api', 'sqs:SendMessage'),
      graph => take(graph, 'ingest', 's3:ListBucket'),
      graph => take(graph, 'tend', 's3:AbortMultipartUpload'),
      graph => take(graph, 'runner-gpu', 'sqs:ChangeMessageVisibility'),
      graph => take(graph, 'relay', 'kms:GenerateDataKey'),
      graph => take(graph, 'runner-cpu', 'ecs:UpdateTaskProtection'),
      graph => give(graph, 'sweep', 's3:GetObject'),
      graph => give(graph, 'capacity', 'ecs:RunTask'),
      graph => give(graph, 'runner-cpu', 'sqs:SendMessage'),
    ],
  },
  {
    name: 'who has a role of ours and runs our code stands in the table of calls',
    faults: graph => {
      const places = [...Object.keys(PLACES), 'router']
      return graph.resources
        .filter(({ type }) => /lambda\/function:|ecs\/taskDefinition:/.test(type))
        .map(({ name }) => name.replace(/^(function|task)-/, ''))
        .filter(place => !places.includes(place))
        .map(place => `${place}: is in no row of drivers.ts`)
        .concat(
          NOBODY.filter(call => Object.values(PLACES).flat().includes(call)).map(
            call => `${call}: is said to be called by nobody`,
          ),
          allowed(graph, 'router').map(action => `policy-router: allows ${action}`),
        )
    },
    plants: [
      graph => {
        const found = graph.resources.find(({ name }) => name === 'function-tend')!
        graph.resources.push({ ...found, name: 'function-another' })
      },
    ],
  },
]
