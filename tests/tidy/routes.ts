/** What every public route must have: a policy, a limit that plans know, an answer, a handler. */
import { PLANS } from '#schemas/plans.ts'
import { LIMITS, type Route, SCOPES } from '#schemas/route.ts'

const TARGETS = ['edge', 'functions', 'router', 'blobs']

/** What is wrong with the table of routes; `handled` are the names that the functions answer. */
export function routeFaults(
  routes: readonly Partial<Route>[],
  handled: readonly string[],
): string[] {
  const seen = new Set<string>()
  return routes.flatMap(route => {
    const { name = '?', method, path, policy } = route
    const key = `${method} ${path?.replaceAll(/:[a-z_]+/g, ':')}`
    const repeated = seen.has(key) || seen.has(name)
    seen.add(key).add(name)
    if (!policy) return [`${name} has no policy`]
    const { scope, limit, target } = policy
    const isPublic = scope === 'public'
    const isSigned = scope === 'signed'
    return [
      repeated && `${name} is declared twice`,
      !isPublic &&
        !isSigned &&
        scope !== 'any' &&
        !SCOPES.includes(scope) &&
        `${name} asks for an unknown scope`,
      limit !== null && !LIMITS.includes(limit) && `${name} counts against an unknown limit`,
      limit === null && !isPublic && `${name} needs a key and has no limit`,
      isSigned && target !== 'edge' && `${name} is signed for a place that does not verify it`,
      isPublic && method !== 'GET' && `${name} changes things for anybody`,
      !TARGETS.includes(target) && `${name} has no place that answers`,
      ['functions', 'blobs'].includes(target) &&
        !handled.includes(name) &&
        `${name} has no handler`,
    ].filter(says => says !== false)
  })
}

/** Plans that leave a limit without numbers. */
export function planFaults(plans: Record<string, object> = PLANS): string[] {
  return Object.entries(plans).flatMap(([plan, limits]) =>
    LIMITS.filter(limit => !(limit in limits)).map(limit => `plan ${plan} has no ${limit}`),
  )
}
