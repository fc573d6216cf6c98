/** Who is called when something fails, when it is slow, and when it has stopped. */
import { SCHEDULES } from '../../../../schemas/schedules.ts'
import type { Graph, Inputs, Resource } from '../../graph.ts'
import { all, databaseInUse, faulty, inputs, one, type Rule, without } from '../../rule.ts'

const alarms = (graph: Graph): Resource[] => all(graph, 'cloudwatch/metricAlarm')
/** Of an alarm on one metric, or on a reckoning with several. */
const metricsOf = ({ metricName, dimensions, metricQueries = [] }: Inputs): Inputs[] =>
  metricName
    ? [{ metricName, dimensions }]
    : metricQueries.flatMap(({ metric }: Inputs) => metric ?? [])

function isOf({ dimensions }: Inputs, [key, value]: [string, string]): boolean {
  // Balancers and target groups are told by the end of their ARN.
  return dimensions?.[key] === value || dimensions?.[key]?.endsWith(`/${value}`)
}

/** What must be told of whoever answers the world: the share of its faults, and how slow it is. */
function answering(graph: Graph): { name: string; at: [string, string]; metrics: string[] }[] {
  return [
    ...all(graph, 'apigatewayv2/api').map(({ name }) => ({
      name,
      at: ['ApiId', `${name}-id`] as [string, string],
      metrics: ['5xx', 'Count', 'Latency'],
    })),
    ...all(graph, 'lb/loadBalancer').map(({ name, inputs: of }) => ({
      name,
      at: ['LoadBalancer', of.name] as [string, string],
      metrics: ['HTTPCode_Target_5XX_Count', 'RequestCount', 'TargetResponseTime'],
    })),
  ]
}

/** Whether the alarm is on a share, of no fewer faults than a handful. */
function isShare({ metricQueries = [] }: Inputs, fault: string, whole: string): boolean {
  const ids = Object.fromEntries(
    metricQueries.map(({ id, metric }: Inputs) => [metric?.metricName, id]),
  )
  const { expression = '' } = metricQueries.find(({ returnData }: Inputs) => returnData) ?? {}
  const bad = `FILL(${ids[fault]}, 0)`
  return (
    new RegExp(`^IF\\(.*>= [1-9]\\d*, 100 \\* \\(.*\\) / ${ids[whole]}, 0\\)$`).test(expression) &&
    expression.includes(bad)
  )
}

export const alarmRules: Rule[] = [
  {
    name: 'somebody is called when a queue is late and when a message is dead',
    faults: graph =>
      faulty(all(graph, 'sqs/queue'), ({ name }, queue) => {
        const metric = queue.name.endsWith('-dead')
          ? 'ApproximateNumberOfMessagesVisible'
          : 'ApproximateAgeOfOldestMessage'
        return (
          !all(graph, 'cloudwatch/metricAlarm').some(
            ({ inputs: alarm }) =>
              alarm.metricName === metric && alarm.dimensions.QueueName === name,
          ) && `has no alarm on ${metric}`
        )
      }),
    plants: [
      graph => without(graph, 'alarm-queue-work-late'),
      graph => without(graph, 'alarm-queue-events-dead'),
      graph => {
        inputs(graph, 'alarm-queue-validate-dead').dimensions.QueueName = 'another'
      },
    ],
  },
  {
    name: 'somebody is called when a function fails and when it is held back',
    faults: graph =>
      faulty(all(graph, 'lambda/function'), ({ name }) => {
        const watched = alarms(graph)
          .flatMap(({ inputs }) => metricsOf(inputs))
          .filter(({ dimensions }) => dimensions.FunctionName === name)
          .map(({ metricName }) => metricName)
        const missing = ['Errors', 'Throttles'].filter(metric => !watched.includes(metric))
        return missing.length > 0 && `has no alarm on ${missing}`
      }),
    plants: [
      graph => without(graph, 'alarm-function-tend-errors'),
      graph => without(graph, 'alarm-function-api-errors'),
    ],
  },
  {
    name: 'somebody is called when a share of the replies to the world are faults, and when they are slow',
    faults: graph =>
      answering(graph).flatMap(({ name, at, metrics: [fault, whole, time] }) => {
        const of = alarms(graph).map(({ inputs }) => inputs)
        const shared = of.some(
          each =>
            isShare(each, fault!, whole!) &&
            each.threshold <= 10 &&
            metricsOf(each).every(metric => isOf(metric, at)),
        )
        const slow = of.some(
          each =>
            each.metricName === time && isOf(each, at) && /^p\d\d$/.test(each.extendedStatistic),
        )
        return [
          ...(shared ? [] : [`${name}: nobody hears that a share of its replies are faults`]),
          ...(slow ? [] : [`${name}: nobody hears that it is slow`]),
        ]
      }),
    plants: [
      graph => without(graph, 'alarm-gateway-faults'),
      graph => without(graph, 'alarm-router-faults'),
      graph => without(graph, 'alarm-gateway-slow'),
      graph => {
        inputs(graph, 'alarm-router-slow').dimensions.LoadBalancer = 'app/another'
      },
      graph => {
        const queries = inputs(graph, 'alarm-gateway-faults').metricQueries
        queries.at(-1).expression = '100 * (FILL(fault1, 0)) / requests'
      },
      graph => {
        inputs(graph, 'alarm-gateway-faults').metricQueries[0].metric.dimensions.ApiId = 'another'
      },
      graph => {
        inputs(graph, 'alarm-router-faults').threshold = 100
      },
    ],
  },
  {
    name: 'a schedule that stops calls somebody, and one that works does not',
    faults: graph =>
      Object.entries(SCHEDULES).flatMap(([name, { everyS, timeoutS }]) => {
        const functionName = inputs(graph, `function-${name}`).name
        const found = alarms(graph).find(
          ({ inputs: each }) =>
            each.metricName === 'Invocations' && each.dimensions.FunctionName === functionName,
        )?.inputs
        if (!found) return [`schedule-${name}: nobody hears that it has stopped`]
        if (found.treatMissingData !== 'breaching' || found.statistic !== 'Sum')
          return [`schedule-${name}: one that has stopped has no metric, and calls nobody`]
        if (found.comparisonOperator !== 'LessThanThreshold' || found.threshold !== 1)
          return [`schedule-${name}: calls while it works`]
        const s = found.period * found.evaluationPeriods
        // While one run works no other begins, and the clock calls once a minute.
        const least = timeoutS + 2 * Math.max(60, everyS)
        if (s < least) return [`schedule-${name}: calls while a run works, after ${s} s`]
        return s > 3_600 ? [`schedule-${name}: is missed after ${s} s`] : []
      }),
    plants: [
      graph => without(graph, 'alarm-schedule-capacity-stopped'),
      graph => {
        inputs(graph, 'alarm-schedule-relay-stopped').treatMissingData = 'notBreaching'
      },
      graph => {
        inputs(graph, 'alarm-schedule-tend-stopped').period = 300
      },
      graph => {
        inputs(graph, 'alarm-schedule-sweep-stopped').dimensions.FunctionName = 'another'
      },
    ],
  },
  {
    name: 'who must be there day and night calls somebody when nothing is heard of it',
    faults: graph => {
      const silent = (at: [string, string], metricName: string, least: number | null) =>
        !alarms(graph).some(
          ({ inputs: each }) =>
            each.metricName === metricName &&
            isOf(each, at) &&
            each.treatMissingData === 'breaching' &&
            (least === null ||
              (each.threshold >= least && each.comparisonOperator === 'LessThanThreshold')),
        )
      const routers = inputs(graph, 'router').desiredCount
      return [
        ...faulty(
          [databaseInUse(graph)],
          ({ identifier }) =>
            silent(['DBInstanceIdentifier', identifier], 'DatabaseConnections', null) &&
            'may be gone, and nobody hears it',
        ),
        ...faulty(
          all(graph, 'lb/targetGroup'),
          ({ name }) =>
            silent(['TargetGroup', name], 'HealthyHostCount', routers) &&
            'may have lost a router, and nobody hears it',
        ),
      ]
    },
    plants: [
      graph => {
        inputs(graph, 'alarm-database-connections').treatMissingData = 'notBreaching'
      },
      graph => without(graph, 'alarm-router-http-missing'),
      graph => {
        inputs(graph, 'alarm-router-grpc-missing').threshold = 1
      },
      graph => {
        inputs(graph, 'router').desiredCount = 3
      },
    ],
  },
  {
    name: 'somebody is called when machines that runners wait for do not come',
    faults: graph =>
      all(graph, 'ecs/service').flatMap(({ name, inputs: { capacityProviderStrategies = [] } }) =>
        capacityProviderStrategies.flatMap(({ capacityProvider }: Inputs) => {
          const watched = alarms(graph).some(
            ({ inputs: each }) =>
              each.metricName === 'CapacityProviderReservation' &&
              each.threshold === 100 &&
              isOf(each, ['CapacityProviderName', capacityProvider]) &&
              isOf(each, ['ClusterName', one(graph, 'runner-cluster').inputs.name]),
          )
          return watched ? [] : [`${name}: nobody hears that ${capacityProvider} has no machines`]
        }),
      ),
    plants: [
      graph => without(graph, 'alarm-machines-gpu-spot-missing'),
      graph => without(graph, 'alarm-machines-cpu-floor-missing'),
      graph => {
        inputs(graph, 'alarm-machines-cpu-spot-missing').dimensions.ClusterName = 'default'
      },
    ],
  },
]
