/** What one edge holds besides its routes: who asks, what is known of their definitions, what it measures. */
import { EndpointDirectory } from './decisions/endpoints.ts'
import { Outcomes } from './decisions/outcomes.ts'
import type { EdgeDeps } from './deps.ts'
import { EventTypeDirectory } from './event-type-directory.ts'
import { FeastDirectory } from './features/feast-directory.ts'
import { Sampler } from './features/sampler.ts'
import { ServiceDirectory } from './features/service-directory.ts'
import { HookDirectory } from './hook-directory.ts'
import { RequestMetrics } from './metrics/requests.ts'
import type { Gate } from './middleware/gate.ts'
import type { Answering } from './rollouts/answering.ts'

export type Edge = Gate & {
  deps: EdgeDeps
  answering: Answering
  eventTypes: EventTypeDirectory
  hooks: HookDirectory
  services: ServiceDirectory
  feast: FeastDirectory
  endpoints: EndpointDirectory
  outcomes: Outcomes
  sampler: Sampler
  metrics: RequestMetrics
}

export function openEdge(deps: EdgeDeps, gate: Gate, answering: Answering): Edge {
  const { limits } = gate
  return {
    ...gate,
    deps,
    answering,
    eventTypes: new EventTypeDirectory(deps, limits),
    hooks: new HookDirectory(deps),
    services: new ServiceDirectory(deps, limits),
    feast: new FeastDirectory(deps, limits),
    endpoints: new EndpointDirectory(deps, limits),
    outcomes: new Outcomes(deps),
    sampler: new Sampler(deps),
    metrics: new RequestMetrics(deps.metrics.registry, 'http'),
  }
}
