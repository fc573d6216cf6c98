/** One page for each stage: is work waiting, is anything failing, is anything full. */
import * as cloudwatch from '@pulumi/aws/cloudwatch/index.js'
import type * as rds from '@pulumi/aws/rds/index.js'
import * as pulumi from '@pulumi/pulumi'
import type { Router } from '../containers/router.ts'
import type { Functions } from '../functions.ts'
import type { Queues } from '../queues.ts'
import { type Deployment, nameOf } from '../settings.ts'

type Needs = { functions: Functions; queues: Queues; database: rds.Instance; router: Router }
type Line = pulumi.Input<string>[]

export function dashboard(deployment: Deployment, needs: Needs): void {
  const queues = Object.values(needs.queues)
  const functions = Object.values(needs.functions)
  const { arnSuffix } = needs.router.balancer
  const database = needs.database.identifier
  const rows: [title: string, stat: string, lines: Line[]][] = [
    [
      'Age of the oldest message (s)',
      'Maximum',
      queues.map(({ live }) => [
        'AWS/SQS',
        'ApproximateAgeOfOldestMessage',
        'QueueName',
        live.name,
      ]),
    ],
    [
      'Dead messages',
      'Maximum',
      queues.map(({ dead }) => [
        'AWS/SQS',
        'ApproximateNumberOfMessagesVisible',
        'QueueName',
        dead.name,
      ]),
    ],
    ['Errors of functions', 'Sum', functions.map(({ name }) => lambdaLine('Errors', name))],
    ['Time of functions (ms)', 'p99', functions.map(({ name }) => lambdaLine('Duration', name))],
    [
      'Requests at the router',
      'Sum',
      ['RequestCount', 'HTTPCode_ELB_5XX_Count', 'HTTPCode_Target_5XX_Count'].map(metric => [
        'AWS/ApplicationELB',
        metric,
        'LoadBalancer',
        arnSuffix,
      ]),
    ],
    [
      'The database: CPU (%) and connections',
      'Average',
      ['CPUUtilization', 'DatabaseConnections'].map(metric => [
        'AWS/RDS',
        metric,
        'DBInstanceIdentifier',
        database,
      ]),
    ],
  ]
  const widgets = rows.map(([title, stat, metrics], at) => ({
    type: 'metric',
    x: (at % 2) * 12,
    y: Math.floor(at / 2) * 6,
    width: 12,
    height: 6,
    properties: { title, stat, metrics, period: 60, region: deployment.region, view: 'timeSeries' },
  }))
  new cloudwatch.Dashboard('dashboard', {
    dashboardName: nameOf(deployment, 'overview'),
    dashboardBody: pulumi.jsonStringify({ widgets }),
  })
}

const lambdaLine = (metric: string, name: pulumi.Input<string>): Line => [
  'AWS/Lambda',
  metric,
  'FunctionName',
  name,
]
