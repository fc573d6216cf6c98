/** The repository and statistics extensions over HTTP. */
import type { Context } from 'hono'
import type { Call } from '#core/caller.ts'
import { AppError } from '#core/error.ts'
import type { EdgeDeps } from '../deps.ts'
import * as repository from '../inference/repository.ts'
import type { ModelDirectory } from '../models.ts'

const BODY_BYTES_MAX = 1 << 20
type Body = { ready?: unknown; parameters?: unknown }

export async function index(deps: EdgeDeps, c: Context, call: Call): Promise<Response> {
  const { ready = false } = await bodyOf(deps, c)
  if (typeof ready !== 'boolean') throw malformed('"ready" must be true or false.')
  return json(await repository.index(deps, call, { ready }))
}

export async function load(deps: EdgeDeps, models: ModelDirectory, c: Context, call: Call) {
  const name = c.req.param('model')!
  await repository.load(deps, models, call, name, parametersOf(await bodyOf(deps, c)))
  return json({ name })
}

export async function unload(deps: EdgeDeps, c: Context, call: Call): Promise<Response> {
  const name = c.req.param('model')!
  await repository.unload(deps, call, name, parametersOf(await bodyOf(deps, c)))
  return json({ name })
}

export async function statistics(deps: EdgeDeps, models: ModelDirectory, c: Context, call: Call) {
  const which = c.req.param() as { model?: string; version?: string }
  return json(await repository.statistics(deps, models, call, which))
}

/** Nothing, or a JSON object: clients send either. */
async function bodyOf(deps: EdgeDeps, c: Context): Promise<Body> {
  const bytes = await deps.http.body(c, BODY_BYTES_MAX)
  if (bytes.length === 0) return {}
  let document: unknown
  try {
    document = JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    throw malformed('The body is not JSON.')
  }
  if (typeof document === 'object' && document !== null && !Array.isArray(document)) {
    return document
  }
  throw malformed('The body must be a JSON object, or nothing.')
}

function parametersOf({ parameters = {} }: Body): repository.Parameters {
  if (typeof parameters === 'object' && parameters !== null && !Array.isArray(parameters)) {
    return parameters as repository.Parameters
  }
  throw malformed('"parameters" must be an object.')
}

function malformed(text: string): AppError {
  return new AppError('invalid_request', { public: text })
}

function json(body: unknown): Response {
  return new Response(JSON.stringify(body), { headers: { 'content-type': 'application/json' } })
}
