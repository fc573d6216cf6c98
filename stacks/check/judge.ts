/** Each stage against each rule, and each planted fault against the rule that must find it. */
import { STAGES, type Stage } from '../settings.ts'
import { type Graph, graphOf } from './graph.ts'
import type { Rule } from './rule.ts'
import { access } from './rules/access.ts'
import { balancerRules } from './rules/balancer.ts'
import { containerRules } from './rules/containers.ts'
import { costRules } from './rules/costs.ts'
import { databaseRules } from './rules/database.ts'
import { lifecycle } from './rules/lifecycle.ts'
import { networkRules } from './rules/network.ts'
import { order } from './rules/order.ts'
import { queueRules } from './rules/queues.ts'
import { secretRules } from './rules/secrets.ts'
import { sizingRules } from './rules/sizing.ts'
import { storage } from './rules/storage.ts'
import { waysIn } from './rules/ways-in.ts'

const RULES: Rule[] = [
  ...access,
  ...secretRules,
  ...queueRules,
  ...storage,
  ...lifecycle,
  ...networkRules,
  ...balancerRules,
  ...databaseRules,
  ...containerRules,
  ...sizingRules,
  ...waysIn,
  ...order,
  ...costRules,
]

export type Judgement = {
  resources: number
  rules: number
  violations: number
  planted: number
  caught: number
  lines: string[]
}

export async function judge(): Promise<Judgement> {
  const graphs: Graph[] = []
  for (const stage of Object.keys(STAGES) as Stage[]) graphs.push(await graphOf(stage))
  const lines = graphs.map(({ stage, resources }) => `${stage}: ${resources.length} resources`)
  const faults = graphs.flatMap(graph =>
    RULES.flatMap(rule =>
      rule.faults(graph).map(fault => `VIOLATION  ${graph.stage}: ${fault} (${rule.name})`),
    ),
  )
  const production = graphs.find(({ stage }) => stage === 'production')!
  const plants = RULES.flatMap(rule =>
    rule.plants.map((plant, at) => ({ rule, plant, at: at + 1 })),
  )
  const missed = plants.filter(({ rule, plant }) => {
    const graph = structuredClone(production)
    plant(graph)
    return rule.faults(graph).length === 0
  })
  // A rule that nothing breaks says nothing.
  const unproven = RULES.filter(({ plants }) => plants.length === 0)
  return {
    resources: graphs.reduce((sum, { resources }) => sum + resources.length, 0),
    rules: RULES.length,
    violations: faults.length + unproven.length,
    planted: plants.length,
    caught: plants.length - missed.length,
    lines: [
      ...lines,
      ...faults,
      ...unproven.map(({ name }) => `UNPROVEN   ${name}: no fault is planted`),
      ...missed.map(({ rule, at }) => `NOT FOUND  planted fault ${at} of: ${rule.name}`),
    ],
  }
}
