/** What the database has room for. */
import { CONNECTIONS } from '../../../schemas/cloud/connections.ts'
import type { FunctionName } from '../../../schemas/cloud/functions.ts'
import type { Graph, Inputs } from '../graph.ts'
import { all, databaseInUse, faulty, inputs, plant, type Rule } from '../rule.ts'

/** Memory of each class by AWS's list. */
const MEMORY_GIB: Record<string, number> = {
  'db.t4g.small': 2,
  'db.t4g.medium': 4,
  'db.m7g.large': 8,
}
/** By RDS's own formula for a connection, of three quarters of the memory: the rest is the system's and its own. */
const allowedBy = (memoryGib: number) => Math.floor((0.75 * memoryGib * 2 ** 30) / 9_531_392)

/** A parameter of the group that the instance has. */
const parameter = (graph: Graph, instance: Inputs, wanted: string): Inputs | undefined =>
  all(graph, 'rds/parameterGroup')
    .find(({ inputs: { name } }) => name === instance.parameterGroupName)
    ?.inputs.parameters.find(({ name }: Inputs) => name === wanted)

/** Of all functions together, each with as many invocations as are reserved for it. */
function held(graph: Graph): number {
  const each = all(graph, 'lambda/function').map(({ name, inputs: of }) => {
    const pool =
      CONNECTIONS[name.replace('function-', '') as FunctionName] ?? Number.POSITIVE_INFINITY
    return pool * (of.reservedConcurrentExecutions ?? Number.POSITIVE_INFINITY)
  })
  return each.reduce((sum, connections) => sum + connections, 0)
}

function change(graph: Graph, wanted: string, value: string): void {
  parameter(graph, inputs(graph, 'database'), wanted)!.value = value
}

export const databaseRules: Rule[] = [
  {
    name: 'all speak to one database, the one that was restored last, and what was restored is not let go of',
    faults: graph => {
      const instances = all(graph, 'rds/instance')
      const { identifier } = databaseInUse(graph).inputs
      const wrong = all(graph, 'lambda/function').filter(
        ({ inputs: { environment } }) =>
          !String(environment.variables.GALLEY_DATABASE_HOST).startsWith(`${identifier}.`),
      )
      const owner = inputs(graph, 'function-migrate').environment.variables.GALLEY_OWNER_SECRET_ARN
      const input = JSON.parse(inputs(graph, 'migrations').input)
      return [
        ...wrong.map(({ name }) => `${name}: speaks to another database than ${identifier}`),
        ...(owner.endsWith(`!${identifier}`) ? [] : ['function-migrate: has the owner of another']),
        ...(input.database === identifier ? [] : [`migrations: do not run on ${identifier}`]),
        ...faulty(
          instances.filter(({ name }) => name !== 'database'),
          (of, { isProtected }) => {
            const isName = /^[a-z](-?[a-z0-9])*$/.test(of.identifier) && of.identifier.length <= 63
            if (!isName) return `is called ${of.identifier}, which RDS refuses`
            const isKept = isProtected && of.deletionProtection && !of.skipFinalSnapshot
            return !isKept && 'may be let go of'
          },
        ),
      ]
    },
    plants: [
      graph => {
        inputs(graph, 'function-sweep').environment.variables.GALLEY_DATABASE_HOST = 'another.host'
      },
      graph => {
        inputs(graph, 'function-migrate').environment.variables.GALLEY_OWNER_SECRET_ARN = 'arn:…!x'
      },
      graph => {
        inputs(graph, 'migrations').input = '{"newest":"0000_example"}'
      },
      graph => {
        const { identifier } = inputs(graph, 'database')
        inputs(graph, 'database').identifier = 'galley-production-control-before'
        graph.restored = ['a-snapshot']
        plant(graph, 'aws:rds/instance:Instance', { identifier, snapshotIdentifier: 'a-snapshot' })
      },
    ],
  },
  {
    name: 'all functions of two versions together find a connection, and the class of the database bears as many',
    faults: graph =>
      faulty(all(graph, 'rds/instance'), instance => {
        const most = Number(parameter(graph, instance, 'max_connections')?.value)
        const needed = 2 * held(graph)
        if (!(needed < most))
          return `takes ${most} connections, and functions may ask for ${needed}`
        const memory = MEMORY_GIB[instance.instanceClass]
        if (memory === undefined)
          return `is a ${instance.instanceClass}, whose memory is in no table`
        const allowed = allowedBy(memory)
        return most > allowed && `takes ${most} connections, and ${allowed} fit in its memory`
      }),
    plants: [
      graph => {
        inputs(graph, 'function-api').reservedConcurrentExecutions = 1_000
      },
      graph => delete inputs(graph, 'function-ingest').reservedConcurrentExecutions,
      graph => {
        inputs(graph, 'database').instanceClass = 'db.t4g.small'
      },
      graph => {
        inputs(graph, 'database').instanceClass = 'db.t4g.nano'
      },
      graph => change(graph, 'max_connections', '100'),
      graph => change(graph, 'max_connections', '5000'),
      graph => plant(graph, 'aws:lambda/function:Function', { reservedConcurrentExecutions: 1 }),
    ],
  },
  {
    name: 'a connection whose invocation is frozen or gone is free again within minutes, and somebody hears before the last is taken',
    faults: graph =>
      faulty([databaseInUse(graph)], instance => {
        const idleMs = Number(parameter(graph, instance, 'idle_session_timeout')?.value)
        if (!(idleMs > 0 && idleMs <= 300_000)) return 'keeps sessions that nobody uses'
        const most = Number(parameter(graph, instance, 'max_connections')?.value)
        const watched = all(graph, 'cloudwatch/metricAlarm').some(
          ({ inputs: { metricName, threshold, dimensions } }) =>
            metricName === 'DatabaseConnections' &&
            dimensions.DBInstanceIdentifier === instance.identifier &&
            threshold <= 0.9 * most,
        )
        return !watched && 'runs out of connections and calls nobody'
      }),
    plants: [
      graph => change(graph, 'idle_session_timeout', '0'),
      graph => {
        inputs(graph, 'alarm-database-connections').threshold = 1_000
      },
      graph => {
        inputs(graph, 'alarm-database-connections').metricName = 'ReadIOPS'
      },
    ],
  },
]
