/** How the world reaches a deployment: over TLS, by names of ours, and past the edge. */
import { SCHEDULES } from '../../../schemas/schedules.ts'
import { wranglerOf } from '../../wrangler.ts'
import { all, faulty, inputs, plant, type Rule, without } from '../rule.ts'

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
    name: 'a record of the zone is as Cloudflare keeps it, and what proves a name is not answered by its proxy',
    faults: graph =>
      faulty(all(graph, 'index/dnsRecord'), (of, { name }) => {
        if (/\.$/.test(of.name) || /\.$/.test(of.content)) return 'is changed by each deployment'
        return name.endsWith('-proof') && of.proxied !== false && 'is answered by the proxy'
      }),
    plants: [
      graph => {
        inputs(graph, 'certificate-router-proof').content = 'x.acm-validations.aws.'
      },
      graph => {
        inputs(graph, 'certificate-grpc-proof').name += '.'
      },
      graph => {
        inputs(graph, 'certificate-functions-proof').proxied = true
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
      graph => plant(graph, 'aws:lambda/functionUrl:FunctionUrl', { authorizationType: 'NONE' }),
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
  {
    name: 'a function that failed its schedule is not called for it again, and waits no longer than an hour',
    faults: graph =>
      Object.keys(SCHEDULES).flatMap(name => {
        const { name: functionName } = inputs(graph, `function-${name}`)
        const told = all(graph, 'lambda/functionEventInvokeConfig').find(
          of => of.inputs.functionName === functionName,
        )?.inputs
        if (told?.maximumRetryAttempts !== 0) return [`function-${name}: is called twice more`]
        if (told.maximumEventAgeInSeconds <= 3_600) return []
        return [`function-${name}: hears of a schedule that is long over`]
      }),
    plants: [
      graph => without(graph, 'calls-relay'),
      graph => {
        inputs(graph, 'calls-tend').maximumRetryAttempts = 2
      },
      graph => delete inputs(graph, 'calls-sweep').maximumEventAgeInSeconds,
    ],
  },
  {
    name: 'what is called once a minute, or once a deployment, calls somebody although it cannot fail more often',
    faults: graph =>
      ['migrate', ...Object.keys(SCHEDULES)].flatMap(name => {
        const { threshold, datapointsToAlarm } = inputs(graph, `alarm-function-${name}-errors`)
        const most = name === 'migrate' ? 1 : 2
        if (threshold === 0 && datapointsToAlarm <= most) return []
        return [`alarm-function-${name}-errors: waits for more failures than there can be`]
      }),
    plants: [
      graph => {
        inputs(graph, 'alarm-function-relay-errors').threshold = 5
      },
      graph => {
        inputs(graph, 'alarm-function-tend-errors').datapointsToAlarm = 5
      },
      graph => {
        inputs(graph, 'alarm-function-migrate-errors').datapointsToAlarm = 5
      },
    ],
  },
  {
    name: 'wrangler.toml names the Worker that the domain leads to, and the places by their names',
    faults: graph => {
      const { name: worker, ...urls } = wranglerOf(graph.stage, graph.texts.wrangler)
      const names = all(graph, 'index/dnsRecord').map(({ inputs: { name } }) => `https://${name}`)
      return [
        ...faulty(
          all(graph, 'index/workersCustomDomain'),
          ({ service }) => service !== worker && `leads to ${service}, not to ${worker}`,
        ),
        ...Object.entries(urls)
          .filter(([, url]) => !names.includes(url))
          .map(([key, url]) => `wrangler.toml: ${key} is ${url}, a name that nothing has`),
      ]
    },
    plants: [
      graph => {
        inputs(graph, 'edge-domain').service = 'galley-edge-dev'
      },
      graph => {
        inputs(graph, 'name-router').name = 'routers.galley.example'
      },
      graph => without(graph, 'name-functions'),
      graph => {
        const { texts } = graph
        texts.wrangler = texts.wrangler.replaceAll('https://router.', 'https://routers.')
      },
    ],
  },
]

const ZONE = { min_tls_version: '1.2', always_use_https: 'on', ssl: 'strict' }
