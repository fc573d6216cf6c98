/** Every public route. */
import { decisionRoutes } from './decisions.ts'
import { eventLogRoutes } from './event-log.ts'
import { eventRoutes } from './events.ts'
import { explainRoutes } from './explain.ts'
import { feastRoutes } from './feast.ts'
import { featureRoutes } from './features.ts'
import { hookRoutes } from './hooks.ts'
import { inferenceRoutes } from './inference.ts'
import { jobRoutes } from './jobs.ts'
import { modelRoutes } from './models.ts'
import { batchRoutes } from './openai/batches.ts'
import { fileRoutes } from './openai/files.ts'
import { openaiRoutes } from './openai/openai.ts'
import { platformRoutes } from './platform.ts'
import { inferenceLogRoutes } from './serving/inference-log.ts'
import { rolloutRoutes } from './serving/rollouts.ts'
import { servingRoutes } from './serving/serving.ts'
import { tableRoutes } from './tables.ts'
import { tenantRoutes } from './tenants.ts'
import { usageRoutes } from './usage.ts'

export const ROUTES = [
  ...platformRoutes,
  ...tenantRoutes,
  ...modelRoutes,
  ...servingRoutes,
  ...rolloutRoutes,
  ...inferenceLogRoutes,
  ...inferenceRoutes,
  ...openaiRoutes,
  ...fileRoutes,
  ...batchRoutes,
  ...jobRoutes,
  ...eventRoutes,
  ...eventLogRoutes,
  ...hookRoutes,
  ...featureRoutes,
  ...explainRoutes,
  ...tableRoutes,
  ...feastRoutes,
  ...decisionRoutes,
  ...usageRoutes,
] as const

export type RouteName = (typeof ROUTES)[number]['name']
export type RouteOf<N extends RouteName> = Extract<(typeof ROUTES)[number], { name: N }>
