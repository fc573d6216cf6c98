/** What there is not: a path that no route has, or a method that its route does not take. */
import { AppError } from '#core/error.ts'
import { ROUTES } from '#schemas/contracts/all.ts'
import { newId } from '#schemas/ids.ts'
import type { Route } from '#schemas/route.ts'
import type { EdgeDeps } from '../deps.ts'
import { type ErrorReply, errorReply } from '../errors.ts'
import * as feast from './feast.ts'

/** The first segments, and of `/v1` the second, where OpenAI's clients ask. */
const FORMS: Record<string, Route['errors']> = { v2: 'oip', feast: 'feast' }
const OPENAI = /^\/v1\/(models|chat|completions|responses|images|audio|moderations)(\/|$)/

export function nothingAt({ log }: EdgeDeps, path: string): Response {
  const nothing = `There is nothing at ${path}; /openapi.json lists what there is.`
  const error = new AppError('not_found', { public: feast.absence(path) ?? nothing })
  return responseOf(errorReply(log, error, { requestId: newId('request'), form: formOf(path) }))
}

export function wrongMethod({ log }: EdgeDeps, path: string): Response {
  const routes = ROUTES.filter(route => route.path === path)
  const allow = routes.map(route => route.method).join(', ')
  const error = new AppError('method_not_allowed', { public: `This path takes ${allow}.` })
  const form = routes[0]!.errors
  const reply = errorReply(log, error, { requestId: newId('request'), form })
  reply.headers.allow = allow
  return responseOf(reply)
}

function responseOf({ status, headers, body }: ErrorReply): Response {
  return new Response(body, { status, headers })
}

/** Where no route answers, the path alone says which protocol was meant. */
function formOf(path: string): Route['errors'] {
  if (OPENAI.test(path)) return 'openai'
  return FORMS[path.split('/')[1] ?? ''] ?? 'problem'
}
