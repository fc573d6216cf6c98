/** What every request passes, by whichever protocol it came: who asks, may they, is there a token left. */
import type { Caller } from '#core/caller.ts'
import { AppError } from '#core/error.ts'
import type { Route, Scope } from '#schemas/route.ts'
import type { EdgeDeps } from '../deps.ts'
import { ModelDirectory } from '../models.ts'
import { Authenticator } from './authenticate.ts'
import { Limiter } from './limits.ts'

/** What the gate needs of a place; it need not hold the rest of an edge. */
export type GateDeps = Pick<
  EdgeDeps,
  'functions' | 'objects' | 'signer' | 'clock' | 'log' | 'background'
>
export type Gate = { auth: Authenticator; limits: Limiter; models: ModelDirectory }

/** What asks for no API key: everybody's, and what a signature opens. */
const KEYLESS: Route['policy']['scope'][] = ['public', 'signed']

/** One for all doors of a process: what is changed through one holds at the others at once. */
export function openGate(deps: GateDeps): Gate {
  const limits = new Limiter(deps)
  return { auth: new Authenticator(deps), limits, models: new ModelDirectory(deps, limits) }
}

export function isOpen(route: Route): boolean {
  return KEYLESS.includes(route.policy.scope)
}

/** The caller, allowed to use the route and with a token of its limit spent. */
export async function admit(
  { auth, limits }: Gate,
  authorization: string | undefined,
  route: Route,
  now: number,
): Promise<Caller> {
  const { scope, limit } = route.policy
  const caller = auth.known(authorization, now) ?? (await auth.caller(authorization))
  if (scope !== 'any' && !caller.scopes.includes(scope as Scope)) {
    throw new AppError('insufficient_scope', {
      public: `This needs a key with the scope "${scope}".`,
    })
  }
  if (route.method !== 'GET' && scope !== 'infer') await auth.mustKnowRevocations(now)
  if (limit && !limits.spendAtHand(caller, limit, now)) await limits.spend(caller, limit)
  return caller
}
