/**
 * Triton's repository and statistics extensions, whichever protocol asks. A version that is ready can be
 * asked for at any time, so "load" makes it warm on a runner, and "unload" ends the tenant's claim on its
 * memory: no request fails by either.
 */
import type { Call } from '#core/caller.ts'
import type { InferenceRouter } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { modelStatistics, zeroCounts } from '#core/inference/triton/statistics.ts'
import type { EdgeDeps } from '../deps.ts'
import { ask } from '../functions-client.ts'
import type { ModelDirectory } from '../models.ts'

export type RepositoryDeps = Pick<EdgeDeps, 'functions' | 'signer' | 'clock'> & {
  router: InferenceRouter
}
type Listed = {
  name: string
  version: number
  digest: string
  state: 'validating' | 'ready' | 'invalid'
  error: string | null
}
export type Parameters = Record<string, unknown>

const LOAD_MS_MAX = 120_000
const STATES = { validating: 'LOADING', ready: 'READY', invalid: 'UNAVAILABLE' } as const

/** Every version of the tenant's models; with `ready` those that can be asked for. */
export async function index(deps: RepositoryDeps, call: Call, { ready = false }) {
  const versions = await listed(deps, call)
  return versions
    .filter(({ state }) => !ready || state === 'ready')
    .map(({ name, version, state, error }) => ({
      name,
      version: String(version),
      state: STATES[state],
      reason: error ?? (state === 'validating' ? 'it is being validated' : ''),
    }))
}

/** Resolves when the version that serves is warm on a runner. Throws what the engine says. */
export async function load(
  deps: RepositoryDeps,
  models: ModelDirectory,
  call: Call,
  name: string,
  parameters: Parameters,
): Promise<void> {
  for (const each of Object.keys(parameters)) refuseParameter(each)
  const model = await models.resolve(call, name)
  const deadline = deps.clock.now() + LOAD_MS_MAX
  await deps.router.load({ call, model, instead: null, deadline })
}

/** Of all versions of the model. */
export async function unload(
  deps: RepositoryDeps,
  call: Call,
  name: string,
  parameters: Parameters,
): Promise<void> {
  for (const each of Object.keys(parameters)) {
    // Nothing depends on a model here, so that with its dependents it is the same.
    if (each !== 'unload_dependents') refuseParameter(each)
  }
  const versions = (await listed(deps, call)).filter(each => each.name === name)
  if (versions.length === 0) {
    throw new AppError('not_found', { public: `There is no model "${name}".` })
  }
  await deps.router.unload({ call, digests: versions.map(({ digest }) => digest) })
}

/** Of one version, of all of a model, or of all models, since the runners that are there have started. */
export async function statistics(
  deps: RepositoryDeps,
  models: ModelDirectory,
  call: Call,
  which: { model?: string; version?: string },
) {
  if (which.model === undefined) return modelStatistics(await deps.router.statistics({ call }))
  const found = await models.resolve(call, which.model, which.version)
  const version = which.version === undefined ? undefined : found.version
  const counted = await deps.router.statistics({ call, model: which.model, version })
  const isCounted = counted.models.some(each => each.version === found.version)
  if (!isCounted) counted.models.push(zeroCounts(found))
  return modelStatistics(counted)
}

function listed(deps: RepositoryDeps, call: Call): Promise<Listed[]> {
  return ask<Listed[]>(deps, '/internal/models/index', { call })
}

function refuseParameter(name: string): never {
  if (name === 'config') {
    throw new AppError('unsupported', {
      public:
        'A version is served as it was published; "config" cannot change it. Publish another version at /v1/registry/models/{model}/versions.',
    })
  }
  if (name.startsWith('file:')) {
    throw new AppError('unsupported', {
      public: `Files are not taken with a load ("${name.slice(0, 60)}"): upload them at /v1/uploads and publish a version at /v1/registry/models/{model}/versions.`,
    })
  }
  throw new AppError('invalid_request', {
    public: `The parameter "${name.slice(0, 60)}" is not known here; leave it out.`,
  })
}
