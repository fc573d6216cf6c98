/** What `wrangler.toml` says of each environment, and what must hold of it. */
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { domainOf, hostOf, type Place } from '#schemas/cloud/addresses.ts'
import { PARTITIONS_PER_OBJECT } from '#schemas/cloud/functions.ts'
import { resourceOf, TRACES_RATIOS, TRACES_SAMPLER } from '#schemas/cloud/traces.ts'

/** The first, without a name, is dev. */
export const ENVIRONMENTS = ['', 'staging', 'production'] as const
export type Environment = (typeof ENVIRONMENTS)[number]

const CONFIG = fileURLToPath(new URL('../../wrangler.toml', import.meta.url))
/** Of the Worker, by name: a deployment has them set already, or brings them in a file. */
export const SECRETS = ['EDGE_KEY', 'FUNCTIONS_KEY']
const OBJECTS = { TENANTS: 'TenantObject', FEATURES: 'FeaturesObject' }
/** In this order, and for good: an account has seen them. */
const MIGRATED = ['TenantObject', 'FeaturesObject']

/** As wrangler reads it, with what an environment inherits. */
export type Settings = {
  name?: string
  placement?: { mode?: string }
  minify?: boolean
  upload_source_maps?: boolean
  workers_dev?: boolean
  vars: Record<string, unknown>
  secrets?: { required?: string[] }
  kv_namespaces: { binding: string }[]
  durable_objects: { bindings: { name: string; class_name: string }[] }
  migrations: { tag: string; new_sqlite_classes?: string[]; deleted_classes?: string[] }[]
}

export async function settingsOf(environment: Environment, config = CONFIG): Promise<Settings> {
  const wrangler = createRequire(import.meta.url)('wrangler') as {
    unstable_readConfig(args: { config: string; env: string }): Settings
  }
  return wrangler.unstable_readConfig({ config, env: environment })
}

/** The domain that the Worker of production looks for its places below; null where it looks nowhere. */
export function domainOfWorker(production: Settings): string | null {
  return domainOf('production', 'functions', String(production.vars.FUNCTIONS_URL))
}

/** What is wrong, each in a line; none when all is as it must be for a deployment at this domain. */
export function faultsOf(environment: Environment, is: Settings, domain: string | null): string[] {
  const stage = environment || 'dev'
  const faults: string[] = []
  const must = (holds: boolean, says: string) => {
    if (!holds) faults.push(`wrangler.toml, ${stage}: ${says}`)
  }
  const name = stage === 'production' ? 'galley-edge' : `galley-edge-${stage}`
  must(is.name === name, `the Worker is called ${is.name}, and the stacks look for ${name}`)
  must(is.placement?.mode === 'smart', 'placement is not smart')
  must(is.minify === true && is.upload_source_maps === true, 'it is not minified, or has no map')
  must(stage === 'dev' || is.workers_dev === false, 'it answers at workers.dev besides its domain')
  const required = [...(is.secrets?.required ?? [])].sort()
  must(String(required) === String(SECRETS), `it names the secrets ${required}, not ${SECRETS}`)
  must(
    is.kv_namespaces.some(({ binding }) => binding === 'KEYS'),
    'the namespace KEYS is not bound',
  )
  for (const [binding, of] of Object.entries(OBJECTS)) {
    const bound = is.durable_objects.bindings.find(each => each.name === binding)
    must(bound?.class_name === of, `${binding} is not bound to ${of}`)
  }
  const made = is.migrations.flatMap(each => each.new_sqlite_classes ?? [])
  must(String(made) === String(MIGRATED), `its migrations make ${made}, not ${MIGRATED}`)
  must(!is.migrations.some(each => each.deleted_classes?.length), 'a migration deletes objects')
  for (const place of ['functions', 'router'] satisfies Place[]) {
    const variable = `${place.toUpperCase()}_URL`
    const should = `https://${hostOf(stage, domain ?? 'DOMAIN', place)}`
    const url = is.vars[variable]
    must(url === should, `${variable} is ${url}, and the stacks make ${should}`)
  }
  const partitions = is.vars.PARTITIONS_PER_OBJECT
  must(
    partitions === String(PARTITIONS_PER_OBJECT),
    `PARTITIONS_PER_OBJECT is ${partitions}, and functions take ${PARTITIONS_PER_OBJECT}`,
  )
  const sampler = `${is.vars.OTEL_TRACES_SAMPLER} ${is.vars.OTEL_TRACES_SAMPLER_ARG}`
  const asked = `${TRACES_SAMPLER} ${TRACES_RATIOS[stage]}`
  must(sampler === asked, `it traces by ${sampler}, and the other places by ${asked}`)
  const resource = is.vars.OTEL_RESOURCE_ATTRIBUTES
  must(resource === resourceOf(stage), `its spans say ${resource}, not ${resourceOf(stage)}`)
  const open = Object.keys(is.vars).filter(name => name.endsWith('_HEADERS'))
  must(open.length === 0, `${open} is a variable, and must be a secret`)
  return faults
}
