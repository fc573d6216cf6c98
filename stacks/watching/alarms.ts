/** Who is called, when, and the page to open first: every alarm names its part of the runbook. */
import type * as gateway from '@pulumi/aws/apigatewayv2/index.js'
import type * as rds from '@pulumi/aws/rds/index.js'
import type * as sns from '@pulumi/aws/sns/index.js'
import type { FunctionName } from '../../schemas/cloud/functions.ts'
import { QUEUES, type QueueName } from '../../schemas/queues.ts'
import { SCHEDULES } from '../../schemas/schedules.ts'
import { connectionsOf } from '../connections.ts'
import type { Router } from '../containers/router.ts'
import type { Capacities } from '../containers/runners.ts'
import type { Functions } from '../functions.ts'
import type { Queues } from '../queues.ts'
import { callEveryS } from '../schedules.ts'
import type { Secrets } from '../secrets.ts'
import { type Deployment, nameOf } from '../settings.ts'
import { alarm, type Watched } from './alarm.ts'
import { spend, topicOf } from './told.ts'

type Needs = {
  secrets: Secrets
  queues: Queues
  functions: Functions
  api: gateway.Api
  database: rds.Instance
  router: Router
  capacities: Capacities
}
type On = (name: string, watched: Watched) => void

export function alarms(deployment: Deployment, needs: Needs): sns.Topic {
  const topic = topicOf(deployment, needs.secrets)
  const on: On = (name, watched) => alarm(deployment, topic, name, watched)
  ofQueues(on, needs.queues)
  ofFunctions(on, needs.functions)
  ofGateway(on, needs.api)
  ofDatabase(on, needs.database, deployment)
  ofBalancer(on, needs.router, deployment)
  ofRouters(on, deployment)
  ofMachines(on, needs.capacities, deployment)
  spend(deployment, topic)
  return topic
}

function ofQueues(on: On, queues: Queues): void {
  for (const name of Object.keys(QUEUES) as QueueName[]) {
    const { live, dead } = queues[name]
    on(`queue-${name}-late`, {
      runbook: 'messages-wait-too-long',
      namespace: 'AWS/SQS',
      metric: 'ApproximateAgeOfOldestMessage',
      dimensions: { QueueName: live.name },
      over: QUEUES[name].lateAfterS,
    })
    on(`queue-${name}-dead`, {
      runbook: 'a-message-is-dead',
      namespace: 'AWS/SQS',
      metric: 'ApproximateNumberOfMessagesVisible',
      dimensions: { QueueName: dead.name },
      over: 0,
      periods: 1,
    })
  }
}

function ofFunctions(on: On, functions: Functions): void {
  for (const [name, { name: FunctionName }] of Object.entries(functions)) {
    const of = { namespace: 'AWS/Lambda', dimensions: { FunctionName } }
    on(`function-${name}-errors`, {
      ...of,
      runbook: 'a-function-fails',
      ...failuresOf(name as FunctionName),
    })
    on(`function-${name}-throttled`, {
      ...of,
      runbook: 'a-function-is-throttled',
      metric: 'Throttles',
      statistic: 'Sum',
      over: name === 'api' ? 0 : 20,
    })
    if (name in SCHEDULES)
      on(`schedule-${name}-stopped`, {
        ...of,
        runbook: 'a-schedule-has-stopped',
        metric: 'Invocations',
        statistic: 'Sum',
        under: 1,
        periodS: silenceS(name as keyof typeof SCHEDULES),
        periods: 1,
        isMissed: true,
      })
  }
}

/** Of one that is called once a minute no more than one invocation a minute can fail. */
function failuresOf(name: FunctionName) {
  const errors = { metric: 'Errors', statistic: 'Sum' as const, over: 0 }
  // Nobody repeats a deployment's step by itself.
  if (name === 'migrate') return { ...errors, periods: 1 }
  // A run may take a quarter of an hour to fail.
  if (name in SCHEDULES) return { ...errors, periods: 30, periodsBad: 2 }
  return { faults: ['Errors'], of: 'Invocations', over: 5, periodS: 300, periods: 1 }
}

/** While one run works, which it may for as long as its time-out, no other one begins. */
function silenceS(name: keyof typeof SCHEDULES): number {
  const wholeMinutes = Math.ceil(SCHEDULES[name].timeoutS / 60) * 60
  return Math.max(300, wholeMinutes + 3 * callEveryS(name))
}

/** The control API answers its faults as replies, so that its function has no errors. */
function ofGateway(on: On, { id: ApiId }: gateway.Api): void {
  const of = { namespace: 'AWS/ApiGateway', dimensions: { ApiId } }
  on('gateway-faults', {
    ...of,
    runbook: 'requests-fail',
    faults: ['5xx'],
    of: 'Count',
    over: 5,
    periodS: 300,
    periods: 1,
  })
  on('gateway-slow', {
    ...of,
    runbook: 'requests-are-slow',
    metric: 'Latency',
    statistic: 'p90',
    over: 3_000,
    periodS: 300,
    periods: 3,
  })
}

function ofDatabase(on: On, database: rds.Instance, { settings }: Deployment): void {
  const GB = 2 ** 30
  const of = {
    namespace: 'AWS/RDS',
    dimensions: { DBInstanceIdentifier: database.identifier },
  }
  on('database-full', {
    ...of,
    runbook: 'the-database-runs-full',
    metric: 'FreeStorageSpace',
    statistic: 'Minimum',
    under: 5 * GB,
  })
  on('database-busy', {
    ...of,
    runbook: 'the-database-is-busy',
    metric: 'CPUUtilization',
    statistic: 'Average',
    over: 85,
    periods: 15,
  })
  on('database-connections', {
    ...of,
    runbook: 'connections-run-out',
    metric: 'DatabaseConnections',
    over: Math.floor(0.8 * connectionsOf(settings)),
    isMissed: true,
  })
}

function ofBalancer(on: On, { balancer, targets }: Router, { settings }: Deployment): void {
  const of = {
    namespace: 'AWS/ApplicationELB',
    dimensions: { LoadBalancer: balancer.arnSuffix },
    runbook: 'the-router-fails',
  }
  // Of requests that reached no router there is no count.
  on('router-errors', { ...of, metric: 'HTTPCode_ELB_5XX_Count', statistic: 'Sum', over: 20 })
  on('router-faults', {
    ...of,
    faults: ['HTTPCode_Target_5XX_Count'],
    of: 'RequestCount',
    over: 5,
    periodS: 300,
    periods: 1,
  })
  on('router-slow', {
    ...of,
    runbook: 'predictions-are-slow',
    metric: 'TargetResponseTime',
    statistic: 'p90',
    over: 10,
    periodS: 300,
    periods: 3,
  })
  // What fails over gRPC is a 200 to the balancer: whether routers answer at all, it knows.
  for (const [protocol, { arnSuffix: TargetGroup }] of Object.entries(targets)) {
    const dimensions = { ...of.dimensions, TargetGroup }
    on(`router-${protocol}-unhealthy`, {
      ...of,
      dimensions,
      metric: 'UnHealthyHostCount',
      over: 0,
      periods: 10,
    })
    // A router that is gone is not unhealthy either.
    on(`router-${protocol}-missing`, {
      ...of,
      dimensions,
      metric: 'HealthyHostCount',
      statistic: 'Minimum',
      under: settings.routers,
      periods: 10,
      isMissed: true,
    })
  }
}

/** As many as the stage says, whatever comes. */
function ofRouters(on: On, deployment: Deployment): void {
  const name = nameOf(deployment, 'router')
  for (const [what, over] of Object.entries({ CPUUtilization: 80, MemoryUtilization: 85 }))
    on(`router-${what === 'CPUUtilization' ? 'busy' : 'full'}`, {
      namespace: 'AWS/ECS',
      dimensions: { ClusterName: name, ServiceName: name },
      runbook: 'routers-have-too-much-to-do',
      metric: what,
      statistic: 'Average',
      over,
      periods: 15,
    })
}

/** Over 100 percent, tasks wait for machines: longer than one takes to come, nobody has any. */
function ofMachines(on: On, capacities: Capacities, deployment: Deployment): void {
  for (const [name, { name: CapacityProviderName }] of Object.entries(capacities))
    on(`machines-${name}-missing`, {
      runbook: 'machines-do-not-come',
      namespace: 'AWS/ECS/ManagedScaling',
      metric: 'CapacityProviderReservation',
      dimensions: { CapacityProviderName, ClusterName: nameOf(deployment, 'runners') },
      over: 100,
      periods: 20,
    })
}
