/** What whoever deploys says by the environment, parsed once; refused in words where it is not enough. */
import { existsSync, readFileSync } from 'node:fs'
import * as z from 'zod'
import { DOMAIN } from '../schemas/cloud/addresses.ts'
import { FUNCTION_NAMES } from '../schemas/cloud/functions.ts'
import { type Deployment, STAGES, type Stage } from './settings.ts'
import { wranglerDomain, wranglerText } from './wrangler.ts'

const said = (pattern: RegExp, what: string) =>
  z.string({ error: `must be ${what}` }).regex(pattern, { error: `must be ${what}` })
const image = said(
  /^\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com\/[^@:]+@sha256:[0-9a-f]{64}$/,
  'an image of ECR by its digest: ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME@sha256:DIGEST',
)
const ZONE = '[a-z]{2}(-[a-z]+)+-\\d[a-z]'
const receiver = z
  .url({ protocol: /^https?$/, error: 'must be a URL, as https://otlp.example' })
  .refine(text => !/^[^/]*\/\/[^/]*@/.test(text), {
    error: 'must have no user and no password in it: credentials are headers, which are a secret',
  })
const BACKUP = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ|[a-zA-Z]([a-zA-Z0-9:-]*[a-zA-Z0-9])?)$/
const schema = z.object({
  GALLEY_AWS_ACCOUNT: said(/^\d{12}$/, 'the twelve digits of an AWS account'),
  AWS_REGION: said(/^[a-z]{2}(-[a-z]+)+-\d$/, 'a region, as eu-central-1'),
  GALLEY_ZONES: said(
    new RegExp(`^${ZONE}(,${ZONE})+$`),
    'two or more availability zones, as eu-central-1a,eu-central-1b',
  ).transform(text => text.split(',')),
  GALLEY_DOMAIN: said(DOMAIN, 'a domain in the zone, as galley.example'),
  CLOUDFLARE_ACCOUNT_ID: said(/^[0-9a-f]{32}$/, 'the 32 hex digits of a Cloudflare account'),
  GALLEY_ZONE_ID: said(/^[0-9a-f]{32}$/, 'the 32 hex digits of the zone of the domain'),
  GALLEY_ALARM_EMAIL: z.email({ error: 'must be the address that alarms reach' }),
  GALLEY_TRACES_URL: receiver.optional(),
  GALLEY_DATABASE_RESTORED: z
    .string()
    .transform(text => text.split(',').map(each => each.trim()))
    .refine(all => all.every(each => BACKUP.test(each)), {
      error:
        'must be times in UTC, as 2026-11-30T12:00:00Z, or names of snapshots, with commas between',
    })
    .optional(),
  GALLEY_ROUTER_IMAGE: image,
  GALLEY_RUNNER_IMAGE: image,
  GALLEY_RUNNER_GPU_IMAGE: image.optional(),
})

/** What a deployment is told. */
export const VARIABLES_SAID: string[] = Object.keys(schema.shape)

/** The domain of whoever deploys, where it is said. */
export function domainSaid(
  from: Record<string, string | undefined> = process.env,
): string | undefined {
  return from.GALLEY_DOMAIN
}

/** The deployment of this stage. Throws one error that names everything which is missing. */
export function readEnv(
  stage: string,
  from: Record<string, string | undefined> = process.env,
): Deployment {
  if (!Object.hasOwn(STAGES, stage))
    throw new Error(`There is no stage "${stage}": take one of ${Object.keys(STAGES).join(', ')}.`)
  const { success, data: env, error } = schema.safeParse(from)
  if (!success) throw new Error(`A deployment needs:\n${z.prettifyError(error)}`)
  const told = wranglerDomain(stage as Stage, wranglerText())
  if (told !== env.GALLEY_DOMAIN)
    throw new Error(
      `GALLEY_DOMAIN is ${env.GALLEY_DOMAIN}, and the edge would look for the functions below ${told ?? 'no domain at all'}: change FUNCTIONS_URL and ROUTER_URL of ${stage} in wrangler.toml.`,
    )
  const bundleOf = (name: string) => `dist/functions/${name}`
  const missing = FUNCTION_NAMES.map(bundleOf).filter(path => !existsSync(`${path}/index.mjs`))
  if (missing.length > 0)
    throw new Error(
      `There are no bundles of functions in ${missing.join(', ')}: make them with "npm run build:functions".`,
    )
  return {
    stage: stage as Stage,
    settings: STAGES[stage as Stage],
    account: env.GALLEY_AWS_ACCOUNT,
    region: env.AWS_REGION,
    zones: env.GALLEY_ZONES,
    domain: env.GALLEY_DOMAIN,
    cloudflare: { accountId: env.CLOUDFLARE_ACCOUNT_ID, zoneId: env.GALLEY_ZONE_ID },
    alarmEmail: env.GALLEY_ALARM_EMAIL,
    tracesUrl: env.GALLEY_TRACES_URL ?? null,
    images: {
      router: env.GALLEY_ROUTER_IMAGE,
      runner: env.GALLEY_RUNNER_IMAGE,
      runnerGpu: env.GALLEY_RUNNER_GPU_IMAGE ?? null,
    },
    restored: env.GALLEY_DATABASE_RESTORED ?? [],
    newestMigration: newestIn(`${bundleOf('migrate')}/migrations/meta/_journal.json`),
    bundleOf,
  }
}

function newestIn(journal: string): string {
  const { entries } = JSON.parse(readFileSync(journal, 'utf8')) as { entries: { tag: string }[] }
  return entries.at(-1)!.tag
}
