/** The whole graph of a stage, evaluated with Pulumi's mocks: without a cloud, an account or a network. */
import * as pulumi from '@pulumi/pulumi'
import { deploy } from '../main.ts'
import { type Deployment, STAGES, type Stage } from '../settings.ts'
import type { Texts } from './texts.ts'

/** One resource as it would be asked of its provider. */
export type Resource = {
  type: string
  name: string
  inputs: Inputs
  /** Names of what must be there before it. */
  after: string[]
  /** A deployment refuses to delete it. */
  isProtected: boolean
  /** Inputs that a later deployment leaves as they are. */
  ignored: string[]
}
// biome-ignore lint/suspicious/noExplicitAny: what a provider takes is as wide as its schema
export type Inputs = Record<string, any>
export type Graph = {
  stage: Stage
  app: App
  resources: Resource[]
  texts: Texts
  /** Times and snapshots that databases were made from, the one in use last. */
  restored: string[]
}
/** What sst is told of the stage by `sst.config.ts`. */
export type App = { protect: boolean; removal: string; providers: Record<string, string> }

const ACCOUNT = '123456789012'
const REGION = 'eu-central-1'
const RECEIVERS: Record<Stage, string | null> = {
  production: 'https://otlp.example:4318',
  staging: 'http://otlp.internal:4318',
  dev: null,
}

/** Every resource of the stage below a domain, in the order of creation. Throws what the stacks throw. */
export async function graphOf(
  stage: Stage,
  domain: string,
  texts: Texts,
  { restored = [], hasGpus = true }: { restored?: string[]; hasGpus?: boolean } = {},
): Promise<Graph> {
  const resources: Resource[] = []
  const options = new Map<string, Options>()
  await pulumi.runtime.setMocks(
    {
      newResource: ({ type, name, inputs }) => {
        // As data: what an archive holds is no business of the rules.
        const data = JSON.parse(JSON.stringify(inputs))
        resources.push({ type, name, inputs: data, ...options.get(`${type} ${name}`)! })
        return { id: `${name}-id`, state: { ...inputs, ...madeUp(type, name, inputs) } }
      },
      call: ({ inputs }) => ({ ...inputs, ipv4Cidrs: ['173.245.48.0/20'], ipv6Cidrs: [] }),
    },
    'galley',
    stage,
    false,
  )
  noteOptions(options)
  const { images, ...example } = exampleOf(stage, domain)
  const given = hasGpus ? images : { ...images, runnerGpu: null }
  deploy({ ...example, images: given, restored })
  // Resources register one after the other as what they need becomes known.
  await pulumi.runtime.disconnect()
  return { stage, app: await appOf(stage), resources, texts: structuredClone(texts), restored }
}

type Options = Pick<Resource, 'after' | 'isProtected' | 'ignored'>

/** Mocks are told the inputs alone; how a resource is to be treated stands in the request to their monitor. */
function noteOptions(options: Map<string, Options>): void {
  const monitor = pulumi.runtime.getMonitor()
  if (!monitor) throw new Error('There is no monitor: the mocks were not set.')
  const register = monitor.registerResource.bind(monitor) as (...all: unknown[]) => unknown
  Object.assign(monitor, {
    registerResource(request: Request, ...rest: unknown[]) {
      options.set(`${request.getType()} ${request.getName()}`, {
        after: request.getDependenciesList().map(urn => urn.split('::').at(-1)!),
        isProtected: request.getProtect() ?? false,
        ignored: request.getIgnorechangesList(),
      })
      return register(request, ...rest)
    },
  })
}

type Request = {
  getType(): string
  getName(): string
  getDependenciesList(): string[]
  getProtect(): boolean | undefined
  getIgnorechangesList(): string[]
}

/** As sst does it: the configuration calls a function that sst has put there. */
async function appOf(stage: Stage): Promise<App> {
  Object.assign(globalThis, { $config: (config: unknown) => config })
  const config = await import(new URL('../../sst.config.ts', import.meta.url).href)
  return config.default.app({ stage })
}

/** What a provider would add to what it was asked for. */
function madeUp(type: string, name: string, inputs: Inputs): Inputs {
  const service = type.split(':')[1]?.split('/')[0] ?? 'aws'
  const called = inputs.name ?? inputs.bucket ?? inputs.identifier ?? name
  return {
    arn: `arn:aws:${service}:${REGION}:${ACCOUNT}:${called}`,
    url: `https://sqs.${REGION}.amazonaws.com/${ACCOUNT}/${called}`,
    keyId: `${name}-key`,
    invokeArn: `arn:aws:apigateway:${REGION}:lambda:${called}`,
    executionArn: `arn:aws:execute-api:${REGION}:${ACCOUNT}:${called}`,
    arnSuffix: `${type.split(':')[1]}/${called}`,
    dnsName: `${called}.elb.amazonaws.com`,
    domainValidationOptions: [
      {
        resourceRecordName: `_proof.${called}.`,
        resourceRecordType: 'CNAME',
        resourceRecordValue: 'x.acm-validations.aws.',
      },
    ],
    masterUserSecrets: [
      { secretArn: `arn:aws:secretsmanager:${REGION}:${ACCOUNT}:secret:rds!${called}` },
    ],
    address: `${called}.${REGION}.rds.amazonaws.com`,
  }
}

function exampleOf(stage: Stage, domain: string): Deployment {
  const image = (name: string) =>
    `${ACCOUNT}.dkr.ecr.${REGION}.amazonaws.com/${name}@sha256:${'0'.repeat(64)}`
  return {
    stage,
    settings: STAGES[stage],
    account: ACCOUNT,
    region: REGION,
    zones: ['a', 'b', 'c'].map(zone => REGION + zone),
    domain,
    cloudflare: { accountId: 'cloudflare-account', zoneId: 'cloudflare-zone' },
    // With headers, without, and nothing traced.
    tracesUrl: RECEIVERS[stage],
    alarmEmail: `on-call@${domain}`,
    images: { router: image('router'), runner: image('runner'), runnerGpu: image('runner-gpu') },
    restored: [],
    newestMigration: '0000_example',
    bundleOf: name => `dist/functions/${name}`,
  }
}
