/** What a stage costs in a month in which nothing happens, by what it is made of: the rows of docs/costs.md. */
import { SCHEDULES } from '../../schemas/schedules.ts'
import type { Graph, Inputs } from './graph.ts'
import { all, inputs } from './rule.ts'

const HOURS = 730
const MONTH_S = HOURS * 3_600
const MINUTES = HOURS * 60
/** US dollars, as docs/costs.md lists them with their date. */
const USD = {
  natHour: 0.045,
  databaseHour: { 'db.t4g.small': 0.032, 'db.t4g.medium': 0.065, 'db.m7g.large': 0.168 },
  databaseGb: 0.115,
  balancerHour: 0.0225,
  vcpuHour: 0.04048,
  memoryGbHour: 0.004445,
  addressHour: 0.005,
  key: 1,
  secret: 0.4,
  alarm: 0.1,
  dashboard: 3,
  hostedZone: 0.5,
  functionGbS: 0.0000133334,
  functionCall: 0.2e-6,
  scheduleCall: 1e-6,
  queueRequest: 0.4e-6,
  machineHour: { 'c7i.xlarge': 0.1785 },
  machineGb: 0.08,
  workersPaid: 5,
}
/** Of an event source, which Lambda keeps while its queue is empty, each asking once in so many seconds. */
const POLLERS = 5
const POLL_S = 20
/** Of a function that is called once a minute and finds nothing to do: assumed. */
const NOTHING_S = 1

type Name = keyof typeof SCHEDULES
const scheduled = Object.keys(SCHEDULES) as Name[]
const memoryGb = (graph: Graph, name: Name) => inputs(graph, `function-${name}`).memorySize / 1024
const sum = (values: number[]) => values.reduce((total, value) => total + value, 0)
/** Of what has a price; what has none is no number, and the table cannot say it. */
const priced = (prices: Record<string, number>, name: string) => prices[name] ?? Number.NaN

/** By the first cell of the row. */
export const IDLE: Record<string, (graph: Graph) => number> = {
  'NAT gateways': graph => all(graph, 'ec2/natGateway').length * USD.natHour * HOURS,
  database: graph =>
    each(graph, 'rds/instance', of => copies(of) * priced(USD.databaseHour, of.instanceClass)) *
    HOURS,
  'its storage': graph =>
    each(graph, 'rds/instance', of => copies(of) * of.allocatedStorage * USD.databaseGb),
  'load balancer': graph => all(graph, 'lb/loadBalancer').length * USD.balancerHour * HOURS,
  'routers, ½ vCPU and 1 GB each': graph =>
    each(graph, 'ecs/service', ({ launchType, desiredCount }, name) => {
      if (launchType !== 'FARGATE') return 0
      const { cpu, memory } = inputs(graph, `task-${name}`)
      return (desiredCount * (cpu * USD.vcpuHour + memory * USD.memoryGbHour)) / 1024
    }) * HOURS,
  'public addresses, of NAT and balancer': graph =>
    (all(graph, 'ec2/natGateway').length +
      each(graph, 'lb/loadBalancer', ({ subnets }) => subnets.length)) *
    USD.addressHour *
    HOURS,
  'key, secrets, alarms, dashboard, private names': graph =>
    all(graph, 'kms/key').length * USD.key +
    secretsOf(graph) * USD.secret +
    alarmMetrics(graph) * USD.alarm +
    all(graph, 'cloudwatch/dashboard').length * USD.dashboard +
    all(graph, 'servicediscovery/privateDnsNamespace').length * USD.hostedZone,
  'relay, sweep and capacity, if they fill their minute': graph =>
    sum(scheduled.filter(isRepeated).map(name => memoryGb(graph, name))) *
    MONTH_S *
    USD.functionGbS,
  'tend, once a minute, and what calls and asks for nothing': graph =>
    sum(scheduled.filter(name => !isRepeated(name)).map(name => memoryGb(graph, name))) *
      MINUTES *
      NOTHING_S *
      USD.functionGbS +
    all(graph, 'scheduler/schedule').length * MINUTES * (USD.scheduleCall + USD.functionCall) +
    all(graph, 'lambda/eventSourceMapping').length *
      POLLERS *
      (MONTH_S / POLL_S) *
      USD.queueRequest,
  'Workers Paid': ({ stage }) => (stage === 'dev' ? USD.workersPaid : 0),
  'runners, their floor on on-demand': graph =>
    each(graph, 'ecs/service', ({ capacityProviderStrategies = [] }, name) => {
      const base = sum(capacityProviderStrategies.map((of: Inputs) => of.base ?? 0))
      return base === 0 ? 0 : base * machineOf(graph, name.replace('runners-', ''))
    }),
}

/** A month of a machine of the floor: the type that is tried first, and its disk. */
function machineOf(graph: Graph, pool: string): number {
  const { launchTemplate } = inputs(graph, `runners-${pool}-floor`).mixedInstancesPolicy
  const hour = priced(USD.machineHour, launchTemplate.overrides[0].instanceType)
  const disks = inputs(graph, `machine-${pool}-floor`).blockDeviceMappings
  return hour * HOURS + sum(disks.map(({ ebs }: Inputs) => ebs.volumeSize * USD.machineGb))
}

/** An alarm on a reckoning is paid for by each metric in it. */
export function alarmMetrics(graph: Graph): number {
  return each(graph, 'cloudwatch/metricAlarm', ({ metricQueries }) =>
    metricQueries ? metricQueries.filter(({ metric }: Inputs) => metric).length : 1,
  )
}

function each(graph: Graph, type: string, of: (inputs: Inputs, name: string) => number): number {
  return sum(all(graph, type).map(({ inputs, name }) => of(inputs, name)))
}
const isRepeated = (name: Name) => SCHEDULES[name].everyS < 60
const copies = ({ multiAz }: Inputs) => (multiAz ? 2 : 1)
/** Ours without the one of a receiver of traces, which no deployment needs, and the one that RDS makes for its owner. */
const secretsOf = (graph: Graph) =>
  all(graph, 'secretsmanager/secret').filter(({ name }) => name !== 'secret-traces').length +
  each(graph, 'rds/instance', ({ manageMasterUserPassword }) => (manageMasterUserPassword ? 1 : 0))
