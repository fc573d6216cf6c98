/** Which secrets a function may read, and where spans go with theirs. */
import type { Graph, Inputs } from '../graph.ts'
import { all, faulty, inputs, type Rule } from '../rule.ts'
import { change, list, statements } from './access.ts'

type Sender = { name: string; endpoint?: string; sampler?: string; headers: boolean }

/** What functions and containers are told of traces. Migrations have none. */
function senders(graph: Graph): Sender[] {
  const functions = all(graph, 'lambda/function').filter(({ name }) => name !== 'function-migrate')
  return [
    ...functions.map(({ name, inputs: { environment } }) => {
      const { variables } = environment
      return senderOf(name, variables, 'GALLEY_TRACE_HEADERS_SECRET_ARN' in variables)
    }),
    ...all(graph, 'ecs/taskDefinition').map(({ name, inputs: { containerDefinitions } }) => {
      const [{ environment, secrets }] = JSON.parse(containerDefinitions)
      const told = environment.map(({ name, value }: Inputs) => [name, value])
      const isSecret = ({ name }: Inputs) => name === 'OTEL_EXPORTER_OTLP_HEADERS'
      return senderOf(name, Object.fromEntries(told), secrets.some(isSecret))
    }),
  ]
}

function senderOf(name: string, told: Inputs, headers: boolean): Sender {
  const { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_TRACES_SAMPLER: by } = told
  return { name, endpoint, sampler: by && `${by} ${told.OTEL_TRACES_SAMPLER_ARG}`, headers }
}

export const secretRules: Rule[] = [
  {
    name: 'a function may read the secrets that its environment names, and no other',
    faults: graph =>
      faulty(all(graph, 'lambda/function'), ({ environment }, { name }) => {
        const told = Object.entries<string>(environment?.variables ?? {})
          .filter(([variable]) => variable.endsWith('_SECRET_ARN'))
          .map(([, arn]) => arn)
        const read = statements(graph)
          .filter(({ from }) => from === name.replace('function-', 'policy-'))
          .filter(({ Action }) => list(Action).includes('secretsmanager:GetSecretValue'))
          .flatMap(({ Resource }) => list(Resource))
        if (told.length === 0) return 'is told of no secret'
        const more = read.filter(arn => !told.includes(arn))
        const less = told.filter(arn => !read.includes(arn))
        if (more.length > 0) return `may read ${more}, of which it is not told`
        return less.length > 0 && `may not read ${less}`
      }),
    plants: [
      graph => {
        const { variables } = inputs(graph, 'function-relay').environment
        variables.GALLEY_OWNER_SECRET_ARN = 'arn:aws:secretsmanager:eu-central-1:1:secret:owner'
      },
      graph =>
        delete inputs(graph, 'function-migrate').environment.variables.GALLEY_OWNER_SECRET_ARN,
      graph =>
        change(graph, 'policy-migrate', all => {
          for (const each of all)
            if (list(each.Action)[0]?.startsWith('secrets')) each.Resource = []
        }),
    ],
  },
  {
    name: 'all places send their spans to one receiver, by one ratio that no caller decides, with its headers over TLS alone',
    faults: graph => {
      const all = senders(graph)
      const [first] = all
      return all.flatMap(({ name, endpoint, sampler, headers }) => {
        if (endpoint !== first!.endpoint || sampler !== first!.sampler)
          return [`${name}: sends to ${endpoint} by ${sampler}, and others to ${first!.endpoint}`]
        if (endpoint && !/^traceidratio [\d.]+$/.test(sampler ?? ''))
          return [`${name}: traces what a caller asks for`]
        const isSecure = endpoint?.startsWith('https:') ?? false
        if (headers && !isSecure) return [`${name}: sends its headers to ${endpoint}`]
        return isSecure && !headers ? [`${name}: sends no headers to ${endpoint}`] : []
      })
    },
    plants: [
      graph => {
        const { variables } = inputs(graph, 'function-api').environment
        variables.OTEL_EXPORTER_OTLP_ENDPOINT = 'https://elsewhere.example'
      },
      graph => everywhere(graph, text => text.replaceAll('https://otlp', 'http://otlp')),
      graph => everywhere(graph, text => text.replaceAll('traceidratio', 'always_on')),
      graph =>
        delete inputs(graph, 'function-ingest').environment.variables
          .GALLEY_TRACE_HEADERS_SECRET_ARN,
      graph => {
        const asked = inputs(graph, 'task-router')
        asked.containerDefinitions = asked.containerDefinitions.replace('_OTLP_HEADERS', '_HEADS')
      },
    ],
  },
]

/** Changes every function and task alike. */
function everywhere(graph: Graph, change: (text: string) => string): void {
  const of = [...all(graph, 'lambda/function'), ...all(graph, 'ecs/taskDefinition')]
  for (const each of of) each.inputs = JSON.parse(change(JSON.stringify(each.inputs)))
}
