/** How the world reaches a deployment: over TLS, by names of ours, and past the edge. */
import { SCHEDULES } from '../../../schemas/schedules.ts'
import { all, faulty, inputs, type Rule, without } from '../rule.ts'

export const waysIn: Rule[] = [
  {
    name: 'whatever listens to the internet speaks TLS, of 1.2 and later',
    faults: graph => [
      ...faulty(all(graph, 'lb/listener'), ({ protocol, sslPolicy, certificateArn }) => {
        if (protocol !== 'HTTPS' || !certificateArn) return 'speaks plain HTTP'
        return !/TLS13-1-[23]/.test(sslPolicy) && `speaks ${sslPolicy}`
      }),
      ...faulty(
        all(graph, 'apigatewayv2/domainName'),
        ({ domainNameConfiguration: { securityPolicy } }) =>
          securityPolicy !== 'TLS_1_2' && `speaks ${securityPolicy}`,
      ),
      ...(graph.stage === 'production' ? Object.entries(ZONE) : []).flatMap(([setting, wanted]) => {
        const found = all(graph, 'index/zoneSetting').find(
          ({ inputs: { settingId } }) => settingId === setting,
        )?.inputs.value
        return found === wanted ? [] : [`zone: ${setting} is ${found}, and should be ${wanted}`]
      }),
    ],
    plants: [
      graph => {
        inputs(graph, 'router-listener').protocol = 'HTTP'
      },
      graph => {
        inputs(graph, 'router-listener').sslPolicy = 'ELBSecurityPolicy-2016-08'
      },
      graph => {
        inputs(graph, 'api-domain').domainNameConfiguration.securityPolicy = 'TLS_1_0'
      },
      graph => without(graph, 'zone-always_use_https'),
      graph => {
        inputs(graph, 'zone-ssl').value = 'flexible'
      },
    ],
  },
  {
    name: 'functions are reached by the gateway, its name and its bounds alone',
    faults: graph => [
      ...faulty(all(graph, 'lambda/functionUrl'), () => 'is a second way in'),
      ...faulty(
        all(graph, 'apigatewayv2/api'),
        ({ disableExecuteApiEndpoint }) => !disableExecuteApiEndpoint && 'is a second way in',
      ),
      ...faulty(
        all(graph, 'apigatewayv2/stage'),
        ({ defaultRouteSettings: of }) => !(of?.throttlingRateLimit > 0) && 'has no bound',
      ),
      ...faulty(all(graph, 'lambda/permission'), ({ sourceArn, principal }) => {
        if (principal === '*') return 'lets everybody invoke'
        return !sourceArn && 'lets every account invoke'
      }),
    ],
    plants: [
      graph =>
        graph.resources.push({
          type: 'aws:lambda/functionUrl:FunctionUrl',
          name: 'planted',
          inputs: { authorizationType: 'NONE' },
        }),
      graph => {
        inputs(graph, 'api').disableExecuteApiEndpoint = false
      },
      graph => delete inputs(graph, 'api-stage').defaultRouteSettings,
      graph => delete inputs(graph, 'api-may-invoke').sourceArn,
      graph => {
        inputs(graph, 'api-may-invoke').principal = '*'
      },
    ],
  },
  {
    name: 'each schedule of the table starts its own function, which runs alone',
    faults: graph => [
      ...Object.keys(SCHEDULES)
        .filter(
          name => !all(graph, 'scheduler/schedule').some(of => of.name === `schedule-${name}`),
        )
        .map(name => `schedule-${name}: is missing`),
      ...faulty(all(graph, 'scheduler/schedule'), ({ target, name }, of) => {
        const started = all(graph, 'lambda/function').find(each =>
          target.arn.endsWith(`:${each.inputs.name}`),
        )
        if (started?.name !== of.name.replace('schedule-', 'function-')) return `starts not ${name}`
        return started.inputs.reservedConcurrentExecutions !== 1 && 'may overlap with itself'
      }),
    ],
    plants: [
      graph => without(graph, 'schedule-sweep'),
      graph => {
        inputs(graph, 'schedule-relay').target.arn = inputs(graph, 'schedule-tend').target.arn
      },
      graph => {
        inputs(graph, 'function-tend').reservedConcurrentExecutions = 5
      },
    ],
  },
]

const ZONE = { min_tls_version: '1.2', always_use_https: 'on', ssl: 'strict' }
