/** Each stage against each rule, and each planted fault against the rule that must find it. */
import { domainSaid } from '../env.ts'
import { STAGES, type Stage } from '../settings.ts'
import { wranglerDomain } from '../wrangler.ts'
import { type Graph, graphOf } from './graph.ts'
import type { Rule } from './rule.ts'
import { access } from './rules/access.ts'
import { balancerRules } from './rules/balancer.ts'
import { callRules } from './rules/calls/calls.ts'
import { roleRules } from './rules/calls/roles.ts'
import { containerRules } from './rules/containers.ts'
import { costRules } from './rules/costs.ts'
import { databaseRules } from './rules/database.ts'
import { guideRules } from './rules/documents/guide.ts'
import { lifecycle } from './rules/lifecycle.ts'
import { networkRules } from './rules/network.ts'
import { order } from './rules/order.ts'
import { queueRules } from './rules/queues.ts'
import { classRules } from './rules/runners/classes.ts'
import { sizingRules } from './rules/runners/sizing.ts'
import { secretRules } from './rules/secrets.ts'
import { startRules } from './rules/starts.ts'
import { storage } from './rules/storage.ts'
import { alarmRules } from './rules/watching/alarms.ts'
import { toldRules } from './rules/watching/told.ts'
import { waysIn } from './rules/ways-in.ts'
import { readTexts, type Texts } from './texts.ts'

const RULES: Rule[] = [
  ...access,
  ...roleRules,
  ...callRules,
  ...secretRules,
  ...queueRules,
  ...alarmRules,
  ...toldRules,
  ...classRules,
  ...storage,
  ...lifecycle,
  ...networkRules,
  ...balancerRules,
  ...databaseRules,
  ...containerRules,
  ...sizingRules,
  ...waysIn,
  ...order,
  ...startRules,
  ...costRules,
  ...guideRules,
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
  const texts = readTexts()
  const domain = domainOf(texts)
  for (const stage of Object.keys(STAGES) as Stage[])
    graphs.push(await graphOf(stage, domain, texts))
  const lines = graphs.map(({ stage, resources }) => `${stage}: ${resources.length} resources`)
  // The rules hold for whoever writes another domain into wrangler.toml, as the guide says.
  const has = wranglerDomain('production', texts.wrangler) ?? domain
  const moved = { ...texts, wrangler: texts.wrangler.replaceAll(`.${has}"`, `.${ANOTHER}"`) }
  const elsewhere = await graphOf('production', ANOTHER, moved)
  const restored = await graphOf('production', domain, texts, { restored: RESTORED })
  const small = await graphOf('dev', domain, texts, { hasGpus: false })
  const faults = [
    ...graphs.flatMap(graph => violations(graph, graph.stage)),
    ...violations(elsewhere, `production of ${ANOTHER}`),
    ...violations(restored, 'production, restored twice', RULES.filter(isNoCost)),
    ...violations(small, 'dev, without GPUs', RULES.filter(isNoCost)),
  ]
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

/** To a time, and then from a snapshot. */
const RESTORED = ['2026-11-30T12:00:00Z', 'rds:galley-production-control-2026-12-01']
/** The documents say what a stage costs that has one database and all pools. */
const isNoCost = (rule: Rule) => !costRules.includes(rule)

/** Not the one of wrangler.toml. */
const ANOTHER = 'models.another.example'

/** What whoever deploys says; as long as nobody does, what wrangler.toml has. */
function domainOf({ wrangler }: Texts): string {
  const domain = domainSaid() ?? wranglerDomain('production', wrangler)
  if (domain) return domain
  throw new Error('wrangler.toml, production: FUNCTIONS_URL must be https://functions.DOMAIN.')
}

const violations = (graph: Graph, of: string, rules = RULES): string[] =>
  rules.flatMap(rule =>
    rule.faults(graph).map(fault => `VIOLATION  ${of}: ${fault} (${rule.name})`),
  )
