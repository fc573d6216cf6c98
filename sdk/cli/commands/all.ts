/** Every command, in the order of help. */
import type { Command } from '../command.ts'
import { audit } from './audit.ts'
import { decisions } from './decisions/decisions.ts'
import { eventLog } from './event-log/event-log.ts'
import { events } from './events.ts'
import { features } from './features/features.ts'
import { tables } from './features/tables.ts'
import { hooks } from './hooks.ts'
import { jobs } from './jobs.ts'
import { jobsCreate } from './jobs-create.ts'
import { keys } from './keys.ts'
import { login, whoami } from './login.ts'
import { modelsProfile } from './models/profile.ts'
import { models } from './models.ts'
import { modelsPublish } from './models-publish.ts'
import { predict } from './predict.ts'
import { rollouts } from './rollouts/rollouts.ts'
import { inferences } from './serving/inferences.ts'
import { serving } from './serving/serving.ts'
import { tenants } from './tenants.ts'
import { receipts, usage } from './usage.ts'

export const COMMANDS: Command[] = [
  login,
  whoami,
  modelsPublish,
  ...models,
  ...rollouts,
  serving,
  ...inferences,
  modelsProfile,
  predict,
  jobsCreate,
  ...jobs,
  ...events,
  ...eventLog,
  ...hooks,
  ...features,
  ...tables,
  ...decisions,
  usage,
  receipts,
  ...keys,
  ...tenants,
  audit,
]
