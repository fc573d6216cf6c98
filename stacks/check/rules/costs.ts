/** That the documents say what a stage costs. */
import { readFileSync } from 'node:fs'
import { STAGES } from '../../settings.ts'
import type { Inputs } from '../graph.ts'
import { alarmMetrics, IDLE } from '../idle.ts'
import { all, faulty, inputs, plant, type Rule } from '../rule.ts'

const HEADING = '## A month in which nothing happens'
const read = (name: string) =>
  readFileSync(new URL(`../../../docs/${name}`, import.meta.url), 'utf8')

/** The table's rows, by what they are of. */
function rows(): Map<string, { formula: string; cells: string[] }> {
  const part = read('costs.md').split(HEADING)[1]!.split('\n## ')[0]!
  const lines = part.split('\n').filter(line => line.startsWith('| '))
  return new Map(
    lines.map(line => {
      const [what, formula, ...cells] = line.slice(1, -1).split('|')
      const bare = (cell: string) => cell.trim().replaceAll('**', '')
      return [bare(what!), { formula: formula!, cells: cells.map(bare) }]
    }),
  )
}

export const costRules: Rule[] = [
  {
    name: 'docs/costs.md says of each stage what it costs while nothing happens, and docs/deploy.md the sum',
    faults: graph => {
      const told = rows()
      const at = Object.keys(STAGES).indexOf(graph.stage)
      const costs = Object.entries(IDLE).map(([what, of]) => [what, of(graph)] as const)
      const total = costs.reduce((sum, [, usd]) => sum + Number(usd.toFixed(2)), 0)
      const faults = [...costs, ['sum', total] as const].flatMap(([what, usd]) => {
        const cell = told.get(what)?.cells[at]
        if (cell === undefined) return [`costs.md: has no row "${what}" with ${usd.toFixed(2)}`]
        // An empty cell says nothing of what is paid for once.
        const isSame = Number(cell).toFixed(2) === usd.toFixed(2)
        return isSame
          ? []
          : [`costs.md: ${what} is ${cell || 'nothing'}, and costs ${usd.toFixed(2)}`]
      })
      const unknown = [...told.keys()].filter(
        what => !(what in IDLE) && !['what', 'sum', '---'].includes(what),
      )
      const alarms = `${alarmMetrics(graph)} × 0.10`
      const counts = told.get('key, secrets, alarms, dashboard, private names')?.formula ?? ''
      const whole = graph.stage === 'dev' ? `about ${total.toFixed(0)} US` : `${total.toFixed(0)}`
      const isTold = graph.stage === 'staging' || read('deploy.md').includes(whole)
      return [
        ...faults,
        ...unknown.map(what => `costs.md: nothing is known of "${what}"`),
        ...(counts.includes(alarms) ? [] : [`costs.md: there are ${alarms} of alarms`]),
        ...(isTold ? [] : [`deploy.md: does not say ${whole}`]),
      ]
    },
    plants: [
      graph => plant(graph, 'aws:ec2/natGateway:NatGateway', {}),
      graph => plant(graph, 'aws:cloudwatch/metricAlarm:MetricAlarm', {}),
      graph => {
        inputs(graph, 'database').instanceClass = 'db.m7g.4xlarge'
      },
      graph => {
        inputs(graph, 'router').desiredCount = 3
      },
      graph => {
        const [floor] = inputs(graph, 'runners-gpu').capacityProviderStrategies as Inputs[]
        floor!.base = 1
      },
      graph => {
        inputs(graph, 'function-tend').memorySize = 10_240
      },
      graph => {
        inputs(graph, 'database').allocatedStorage = 400
      },
    ],
  },
  {
    name: 'what is paid for by the hour or by the month stands in docs/costs.md',
    faults: graph => [
      ...PAID.flatMap(type => all(graph, type).map(({ name }) => `${name}: is not in costs.md`)),
      ...faulty(
        all(graph, 'ec2/vpcEndpoint'),
        ({ vpcEndpointType }) => vpcEndpointType !== 'Gateway' && 'is not in costs.md',
      ),
      // Its metrics are paid for one by one, and no alarm and no page reads them.
      ...faulty(all(graph, 'ecs/cluster'), ({ settings = [] }) =>
        settings.some(
          ({ name, value }: Inputs) => name === 'containerInsights' && value === 'disabled',
        )
          ? false
          : 'makes metrics that are not in costs.md',
      ),
    ],
    plants: [
      graph => plant(graph, 'aws:ec2/vpcEndpoint:VpcEndpoint', { vpcEndpointType: 'Interface' }),
      graph => plant(graph, 'aws:rds/proxy:Proxy', {}),
      graph => {
        inputs(graph, 'router-cluster').settings = []
      },
    ],
  },
]

/** Of what AWS rents out; none of it is used. */
const PAID = [
  ...['rds/proxy', 'rds/cluster', 'elasticache/replicationGroup', 'opensearch/domain'],
  ...['ec2/instance', 'ec2/transitGateway', 'wafv2/webAcl', 'globalaccelerator/accelerator'],
  ...['lambda/provisionedConcurrencyConfig', 'efs/fileSystem', 'cloudtrail/trail'],
]
