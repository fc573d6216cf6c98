/** One alarm: on a metric, or on the share that one metric is of another. */
import * as cloudwatch from '@pulumi/aws/cloudwatch/index.js'
import type * as sns from '@pulumi/aws/sns/index.js'
import type * as pulumi from '@pulumi/pulumi'
import { type Deployment, nameOf, tagsOf } from '../settings.ts'

/** Fewer than these in a period are an accident, and no share of anything. */
const FAULTS_LEAST = 5

export type Watched = {
  /** The heading in docs/runbook.md. */
  runbook: string
  namespace: string
  dimensions: Record<string, pulumi.Input<string>>
  over?: number
  under?: number
  /** Of a period in seconds; a minute where it is not said. */
  periodS?: number
  /** So many periods, five where it is not said. */
  periods?: number
  /** Of those periods, not necessarily in a row; all of them where it is not said. */
  periodsBad?: number
  /**
   * No value at all is as bad as a bad one: of what is there day and night. Otherwise nothing happens at night in
   * a small deployment, and nothing is what its metrics then say.
   */
  isMissed?: boolean
} & (
  | { metric: string; statistic?: 'Sum' | 'Maximum' | 'Average' | 'Minimum' | `p${number}` }
  /** In percent of `of`; both are sums. */
  | { faults: string[]; of: string }
)

export function alarm(
  deployment: Deployment,
  topic: sns.Topic,
  name: string,
  watched: Watched,
): void {
  const { runbook, over, under, periodS = 60, periods = 5 } = watched
  new cloudwatch.MetricAlarm(`alarm-${name}`, {
    name: nameOf(deployment, name),
    alarmDescription: `docs/runbook.md#${runbook}`,
    ...('metric' in watched ? one(watched, periodS) : share(watched, periodS)),
    evaluationPeriods: periods,
    datapointsToAlarm: watched.periodsBad ?? periods,
    comparisonOperator: under === undefined ? 'GreaterThanThreshold' : 'LessThanThreshold',
    threshold: under ?? over ?? 0,
    treatMissingData: watched.isMissed ? 'breaching' : 'notBreaching',
    alarmActions: [topic.arn],
    okActions: [topic.arn],
    tags: tagsOf(deployment, 'alarms'),
  })
}

function one(watched: Watched & { metric: string; statistic?: string }, period: number) {
  const { namespace, metric: metricName, dimensions, statistic = 'Maximum' } = watched
  const of = { namespace, metricName, dimensions, period }
  if (!statistic.startsWith('p')) return { ...of, statistic }
  // Of a handful of requests the slowest is no percentile.
  return { ...of, extendedStatistic: statistic, evaluateLowSampleCountPercentiles: 'ignore' }
}

function share(watched: Watched & { faults: string[]; of: string }, period: number) {
  const { namespace, dimensions } = watched
  const sum = (id: string, metricName: string) => ({
    id,
    metric: { namespace, metricName, dimensions, period, stat: 'Sum' },
  })
  const ids = watched.faults.map((_, at) => `fault${at + 1}`)
  // Some metrics are there only when something failed.
  const faults = ids.map(id => `FILL(${id}, 0)`).join(' + ')
  return {
    metricQueries: [
      ...watched.faults.map((metric, at) => sum(ids[at]!, metric)),
      sum('requests', watched.of),
      {
        id: 'share',
        expression: `IF(${faults} >= ${FAULTS_LEAST}, 100 * (${faults}) / requests, 0)`,
        label: `${watched.faults.join(' and ')}, in percent of ${watched.of}`,
        returnData: true,
      },
    ],
  }
}
