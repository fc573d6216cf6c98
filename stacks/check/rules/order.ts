/** Tags, names and logs: what keeps a deployment readable in a bill and in an incident. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { Inputs, Resource } from '../graph.ts'
import { all, faulty, inputs, one, type Rule, without } from '../rule.ts'

const TAGS = ['galley:app', 'galley:stage', 'galley:part']
const require = createRequire(import.meta.url)
const taggable = new Map<string, boolean>()

/** Whether the generated type of this resource knows tags. */
function takesTags({ type }: Resource): boolean {
  const [provider, module] = type.split(':')
  if (provider !== 'aws') return false
  const known = taggable.get(type)
  if (known !== undefined) return known
  const file = require.resolve(`@pulumi/aws/${module}.js`).replace(/\.js$/, '.d.ts')
  const [, args = ''] = readFileSync(file, 'utf8').split(/export interface \w+Args /)
  const takes = /^ {4}tags\?:/m.test(args)
  taggable.set(type, takes)
  return takes
}

/** An autoscaling group has a list, everything else a record. */
const tagsOf = ({ tags = {} }: Inputs): Record<string, string> =>
  Array.isArray(tags) ? Object.fromEntries(tags.map(({ key, value }) => [key, value])) : tags

export const order: Rule[] = [
  {
    name: 'functions are changed after the migrations have run, by a function that is changed before',
    faults: graph => {
      const [ran, ...more] = all(graph, 'lambda/invocation')
      if (!ran || more.length > 0) return ['the migrations do not run once']
      const others = all(graph, 'lambda/function').filter(({ name }) => name !== 'function-migrate')
      return [
        ...faulty([ran], ({ functionName, input }) => {
          const { name, timeout } = inputs(graph, 'function-migrate')
          if (functionName !== name) return `calls ${functionName}`
          if (timeout < 900) return 'has less time than there is'
          return !JSON.parse(input).newest && 'would not run again for a new migration'
        }),
        ...faulty(others, (_, { after }) => !after.includes(ran.name) && 'may be changed before'),
      ]
    },
    plants: [
      graph => without(graph, 'migrations'),
      graph => {
        inputs(graph, 'migrations').functionName = 'galley-production-api'
      },
      graph => {
        inputs(graph, 'migrations').input = '{}'
      },
      graph => {
        one(graph, 'function-relay').after = []
      },
    ],
  },
  {
    name: 'every resource that takes tags says which deployment and which part of it pays',
    faults: graph =>
      faulty(graph.resources.filter(takesTags), of => {
        const tags = tagsOf(of)
        const missing = TAGS.filter(tag => !tags[tag])
        if (missing.length > 0) return `has no ${missing}`
        return tags['galley:stage'] !== graph.stage && 'is booked on another stage'
      }),
    plants: [
      graph => delete inputs(graph, 'nat-1').tags,
      graph => delete inputs(graph, 'function-api').tags['galley:part'],
      graph => {
        inputs(graph, 'database').tags['galley:stage'] = 'dev'
      },
    ],
  },
  {
    name: 'sst loads the providers that were evaluated here, and never takes production away',
    faults: ({ stage, app: { protect, removal, providers } }) => {
      const { dependencies } = JSON.parse(
        readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
      )
      const faults = ['aws', 'cloudflare']
        .filter(name => providers[name] !== dependencies[`@pulumi/${name}`])
        .map(name => `sst.config.ts: ${name} is ${providers[name]}, another than in package.json`)
      if (stage === 'production' && !(protect && removal === 'retain'))
        faults.push('sst.config.ts: "sst remove" would take production away')
      return faults
    },
    plants: [
      graph => {
        graph.app.providers.aws = '7.0.0'
      },
      graph => delete graph.app.providers.cloudflare,
      graph => {
        graph.app.protect = false
      },
      graph => {
        graph.app.removal = 'remove'
      },
    ],
  },
  {
    name: 'names are of their stage, and no two resources of a type share one',
    faults: graph => {
      const seen = new Map<string, string>()
      return faulty(graph.resources, (of, { type, name }) => {
        const called = of.name ?? of.bucket ?? of.identifier
        if (!called || !NAMED.test(type)) return false
        const other = seen.get(`${type} ${called}`)
        seen.set(`${type} ${called}`, name)
        if (other) return `has the name of ${other}`
        return !String(called).includes(`galley-${graph.stage}-`) && `is called ${called}`
      })
    },
    plants: [
      graph => {
        inputs(graph, 'queue-work').name = 'galley-production-events'
      },
      graph => {
        inputs(graph, 'function-api').name = 'api'
      },
    ],
  },
  {
    name: 'logs are kept for a stated time, and those of production for a year',
    faults: graph =>
      faulty(all(graph, 'cloudwatch/logGroup'), ({ retentionInDays: days }) => {
        if (!(days >= 7)) return 'has no retention'
        return graph.stage === 'production' && days < 365 && 'forgets within a year'
      }),
    plants: [
      graph => delete inputs(graph, 'logs-api').retentionInDays,
      graph => {
        inputs(graph, 'logs-tend').retentionInDays = 30
      },
    ],
  },
  {
    name: 'whatever logs has a group of its own that was made for it',
    faults: graph => {
      const groups = all(graph, 'cloudwatch/logGroup').map(({ inputs: { name } }) => name)
      return [
        ...faulty(
          all(graph, 'lambda/function'),
          ({ loggingConfig }) => !groups.includes(loggingConfig?.logGroup) && UNKEPT,
        ),
        ...faulty(
          all(graph, 'rds/instance'),
          ({ identifier }) =>
            !groups.includes(`/aws/rds/instance/${identifier}/postgresql`) && UNKEPT,
        ),
      ]
    },
    plants: [
      graph => without(graph, 'logs-api'),
      graph => without(graph, 'logs-database'),
      graph => delete inputs(graph, 'function-relay').loggingConfig,
    ],
  },
]

const NAMED =
  /sqs\/queue:|lambda\/function:|s3\/bucket:|rds\/instance:|secretsmanager|iam\/role:|ecs\//
const UNKEPT = 'logs into a group that nobody made, and which keeps everything'
