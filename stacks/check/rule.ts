/** A rule over every resource of a stage, and the faults that it must be seen to find. */
import type { Graph, Inputs, Resource } from './graph.ts'

export type Rule = {
  /** The sentence that holds. */
  name: string
  faults(graph: Graph): string[]
  /** Changes to a good graph of production, each of which must break this rule. */
  plants: ((graph: Graph) => void)[]
}

/** Every resource of a type, as `sqs/queue`. */
export function all(graph: Graph, type: string): Resource[] {
  return graph.resources.filter(resource => resource.type.split(':')[1] === type)
}

/** One resource; a plant that names nothing is a mistake of ours. */
export function one(graph: Graph, name: string): Resource {
  const found = graph.resources.find(resource => resource.name === name)
  if (!found) throw new Error(`There is no resource ${name} to plant a fault in.`)
  return found
}
export const inputs = (graph: Graph, name: string): Inputs => one(graph, name).inputs

/** A resource that nobody wrote. */
export function plant(graph: Graph, type: string, inputs: Inputs): void {
  const options = { after: [], isProtected: false, ignored: [] }
  graph.resources.push({ type, name: 'planted', inputs, ...options })
}

/** Takes a resource out of the graph, as if nobody had written it. */
export function without(graph: Graph, name: string): void {
  inputs(graph, name)
  graph.resources = graph.resources.filter(resource => resource.name !== name)
}

/** One line for each resource for which something is wrong. */
export function faulty(
  resources: Resource[],
  says: (inputs: Inputs, resource: Resource) => string | false | undefined,
): string[] {
  return resources.flatMap(resource => {
    const fault = says(resource.inputs, resource)
    return fault ? [`${resource.name}: ${fault}`] : []
  })
}

/** The database in use: the one that was restored last. */
export function databaseInUse(graph: Graph): Resource {
  const from = graph.restored.at(-1)
  const found = all(graph, 'rds/instance').find(
    ({ inputs: { restoreToPointInTime, snapshotIdentifier } }) =>
      (restoreToPointInTime?.restoreTime ?? snapshotIdentifier) === from,
  )
  if (!found) throw new Error(`There is no database of ${from ?? 'the deployment'}.`)
  return found
}
