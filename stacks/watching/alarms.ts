/** Who is called, when, and the page to open first: every alarm names its part of the runbook. */
import * as budgets from '@pulumi/aws/budgets/index.js'
import * as cloudwatch from '@pulumi/aws/cloudwatch/index.js'
import type * as rds from '@pulumi/aws/rds/index.js'
import * as sns from '@pulumi/aws/sns/index.js'
import type * as pulumi from '@pulumi/pulumi'
import type { FunctionName } from '../../schemas/cloud/functions.ts'
import { QUEUES, type QueueName } from '../../schemas/queues.ts'
import { SCHEDULES } from '../../schemas/schedules.ts'
import { connectionsOf } from '../connections.ts'
import type { Router } from '../containers/router.ts'
import type { Functions } from '../functions.ts'
import { policyOf } from '../policy.ts'
import type { Queues } from '../queues.ts'
import type { Secrets } from '../secrets.ts'
import { type Deployment, nameOf, tagsOf } from '../settings.ts'

type Needs = {
  secrets: Secrets
  queues: Queues
  functions: Functions
  database: rds.Instance
  router: Router
}
type Watched = {
  /** The heading in docs/runbook.md. */
  runbook: string
  namespace: string
  metric: string
  dimensions: Record<string, pulumi.Input<string>>
  over?: number
  under?: number
  statistic?: 'Sum' | 'Maximum' | 'Average' | 'Minimum'
  minutes?: number
  /** Of those minutes, not necessarily in a row; all of them where it is not said. */
  minutesBad?: number
}

export function alarms(deployment: Deployment, needs: Needs): sns.Topic {
  const topic = topicOf(deployment, needs.secrets)
  const on = (name: string, watched: Watched) => alarm(deployment, topic, name, watched)
  for (const name of Object.keys(QUEUES) as QueueName[]) {
    const { live, dead } = needs.queues[name]
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
      minutes: 1,
    })
  }
  for (const [name, { name: FunctionName }] of Object.entries(needs.functions)) {
    const of = { namespace: 'AWS/Lambda', dimensions: { FunctionName } }
    on(`function-${name}-errors`, {
      ...of,
      runbook: 'a-function-fails',
      metric: 'Errors',
      statistic: 'Sum',
      ...failuresOf(name as FunctionName),
    })
    on(`function-${name}-throttled`, {
      ...of,
      runbook: 'a-function-is-throttled',
      metric: 'Throttles',
      statistic: 'Sum',
      over: name === 'api' ? 0 : 20,
    })
  }
  const GB = 2 ** 30
  const of = {
    namespace: 'AWS/RDS',
    dimensions: { DBInstanceIdentifier: needs.database.identifier },
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
    minutes: 15,
  })
  on('database-connections', {
    ...of,
    runbook: 'connections-run-out',
    metric: 'DatabaseConnections',
    over: Math.floor(0.8 * connectionsOf(deployment.settings)),
  })
  const balancer = {
    namespace: 'AWS/ApplicationELB',
    dimensions: { LoadBalancer: needs.router.balancer.arnSuffix },
    runbook: 'the-router-fails',
    statistic: 'Sum' as const,
  }
  on('router-errors', { ...balancer, metric: 'HTTPCode_ELB_5XX_Count', over: 20 })
  on('router-faults', { ...balancer, metric: 'HTTPCode_Target_5XX_Count', over: 50 })
  // What fails over gRPC is a 200 to the balancer: whether routers answer at all, it knows.
  for (const [protocol, { arnSuffix: TargetGroup }] of Object.entries(needs.router.targets))
    on(`router-${protocol}-unhealthy`, {
      ...balancer,
      dimensions: { ...balancer.dimensions, TargetGroup },
      metric: 'UnHealthyHostCount',
      statistic: 'Maximum',
      over: 0,
      minutes: 10,
    })
  const name = nameOf(deployment, 'router')
  for (const [what, over] of Object.entries({ CPUUtilization: 80, MemoryUtilization: 85 }))
    on(`router-${what === 'CPUUtilization' ? 'busy' : 'full'}`, {
      namespace: 'AWS/ECS',
      dimensions: { ClusterName: name, ServiceName: name },
      runbook: 'routers-have-too-much-to-do',
      metric: what,
      statistic: 'Average',
      over,
      minutes: 15,
    })
  spend(deployment, topic)
  return topic
}

/** Of one that is called once a minute no more than one invocation a minute can fail. */
function failuresOf(name: FunctionName): Pick<Watched, 'over' | 'minutes' | 'minutesBad'> {
  // Nobody repeats a deployment's step by itself.
  if (name === 'migrate') return { over: 0, minutes: 1 }
  // A run may take a quarter of an hour to fail.
  if (name in SCHEDULES) return { over: 0, minutes: 30, minutesBad: 2 }
  return { over: 5 }
}

function alarm(deployment: Deployment, topic: sns.Topic, name: string, watched: Watched): void {
  const { runbook, metric, statistic = 'Maximum', minutes = 5, over, under } = watched
  new cloudwatch.MetricAlarm(`alarm-${name}`, {
    name: nameOf(deployment, name),
    alarmDescription: `docs/runbook.md#${runbook}`,
    namespace: watched.namespace,
    metricName: metric,
    dimensions: watched.dimensions,
    statistic,
    period: 60,
    evaluationPeriods: minutes,
    datapointsToAlarm: watched.minutesBad ?? minutes,
    comparisonOperator: under === undefined ? 'GreaterThanThreshold' : 'LessThanThreshold',
    threshold: under ?? over ?? 0,
    // Nothing happens at night in a small deployment, and nothing is what its metrics then say.
    treatMissingData: 'notBreaching',
    alarmActions: [topic.arn],
    okActions: [topic.arn],
    tags: tagsOf(deployment, 'alarms'),
  })
}

function topicOf(deployment: Deployment, { key }: Secrets): sns.Topic {
  const topic = new sns.Topic('alarms', {
    name: nameOf(deployment, 'alarms'),
    kmsMasterKeyId: key.arn,
    tags: tagsOf(deployment, 'alarms'),
  })
  new sns.TopicSubscription('alarms-email', {
    topic: topic.arn,
    protocol: 'email',
    endpoint: deployment.alarmEmail,
  })
  new sns.TopicPolicy('alarms-policy', {
    arn: topic.arn,
    policy: policyOf([
      {
        Principal: { Service: ['cloudwatch.amazonaws.com', 'budgets.amazonaws.com'] },
        Action: ['sns:Publish'],
        Resource: topic.arn,
        Condition: { StringEquals: { 'aws:SourceAccount': deployment.account } },
      },
    ]),
  })
  return topic
}

/** What this stage costs by its tags, so that stages may share an account. */
function spend(deployment: Deployment, topic: sns.Topic): void {
  const notification = (notificationType: string, threshold: number) => ({
    comparisonOperator: 'GREATER_THAN',
    notificationType,
    threshold,
    thresholdType: 'PERCENTAGE',
    subscriberSnsTopicArns: [topic.arn],
  })
  new budgets.Budget('spend', {
    name: nameOf(deployment, 'spend'),
    budgetType: 'COST',
    timeUnit: 'MONTHLY',
    limitAmount: String(deployment.settings.spendUsd),
    limitUnit: 'USD',
    costFilters: [{ name: 'TagKeyValue', values: [`user:galley:stage$${deployment.stage}`] }],
    notifications: [notification('ACTUAL', 80), notification('FORECASTED', 100)],
    tags: tagsOf(deployment, 'alarms'),
  })
}
