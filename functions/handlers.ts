/**
 * One line per route that the functions answer: which verb does it. A route of the contract without a
 * handler, or a handler without a route, does not compile.
 */
import type * as z from 'zod'
import type { Call } from '#core/caller.ts'
import * as decisions from '#core/decisions/decisions.ts'
import type { Supply, Unit } from '#core/deps.ts'
import * as events from '#core/events/events.ts'
import * as features from '#core/features/features.ts'
import * as batches from '#core/inference/batches/batches.ts'
import * as bulk from '#core/inference/bulk.ts'
import * as inferences from '#core/inference/log/log.ts'
import * as jobs from '#core/jobs/jobs.ts'
import * as models from '#core/models/models.ts'
import * as tenants from '#core/tenants/tenants.ts'
import * as training from '#core/training/training.ts'
import * as usage from '#core/usage/usage.ts'
import type { RouteName, RouteOf } from '#schemas/contracts/all.ts'
import type { FunctionsDeps } from './deps.ts'
import { publishSettled } from './models/publish.ts'
import { completeUpload } from './models/uploads.ts'
import { begunErasure } from './seal.ts'
import { exportRest } from './segments/exports.ts'

type Params<Path extends string> = Path extends `${string}:${infer Name}/${infer Rest}`
  ? Record<Name, string> & Params<`/${Rest}`>
  : Path extends `${string}:${infer Name}`
    ? Record<Name, string>
    : unknown
type Parsed<T> = T extends z.ZodType ? z.output<T> : unknown
type Part<R, K extends string> = R extends Record<K, infer T> ? Parsed<T> : unknown
type InputOf<N extends RouteName> = Params<RouteOf<N>['path']> &
  Part<RouteOf<N>, 'query'> &
  Part<RouteOf<N>, 'body'>

/** Works in one transaction of the caller's tenant, with the idempotency record in it. */
type InTransaction<I> = {
  tx(unit: Unit & Supply, call: Call, input: I): Promise<unknown>
  /** What the caller waits for after the commit; turns the stored reply into the final one. */
  settle?(deps: FunctionsDeps, call: Call, stored: unknown): Promise<unknown>
}
/** Works with the dependencies themselves: for verbs that must not hold a transaction while they wait. */
type Freely<I> = { run(deps: FunctionsDeps, call: Call, input: I): Promise<unknown> }
export type Handler<I = never> = InTransaction<I> | Freely<I>

type FunctionRoute = {
  [N in RouteName]: RouteOf<N>['policy']['target'] extends 'functions' | 'blobs' ? N : never
}[RouteName]

export const handlers: { [N in FunctionRoute]: Handler<InputOf<N>> } = {
  'tenants.create': { tx: tenants.create },
  'tenants.list': { tx: (unit, _, query) => tenants.list(unit, query) },
  'tenants.get': { tx: (unit, _, input) => tenants.get(unit, input) },
  'tenants.limit': { tx: tenants.limit },
  'keys.whoami': { tx: whoami },
  'keys.create': { tx: tenants.keys.create },
  'keys.list': { tx: (unit, _, query) => tenants.keys.list(unit, query) },
  'keys.get': { tx: (unit, _, input) => tenants.keys.get(unit, input) },
  'keys.rotate': { tx: tenants.keys.rotate },
  'keys.revoke': { tx: tenants.keys.revoke },
  'audit.list': { tx: (unit, _, query) => tenants.audit.list(unit, query) },

  'uploads.create': { tx: models.uploads.create },
  'uploads.get': { run: models.uploads.get },
  'uploads.part': { tx: models.uploads.grantPart },
  'uploads.complete': { run: (deps, call, input) => completeUpload(deps, call, input) },

  'models.publish': { tx: models.publish, settle: publishSettled },
  'models.list': { tx: (unit, _, query) => models.list(unit, query) },
  'models.get': { tx: (unit, _, input) => models.get(unit, input) },
  'models.versions': { tx: (unit, _, input) => models.versions(unit, input) },
  'models.version': { tx: (unit, _, input) => models.version(unit, input) },
  'models.delete': { tx: models.remove },
  'models.alias': { tx: models.aliases.setAlias },
  'models.unalias': { tx: models.aliases.removeAlias },
  'models.switches': { tx: (unit, _, input) => models.switches.switches(unit, input) },
  'models.rollout': { tx: models.rollouts.put },
  'models.rollout_report': { tx: (unit, _, input) => models.rollouts.get(unit, input) },
  'models.promote': { tx: models.aliases.promote },
  'models.rollback': { tx: models.aliases.rollback },
  'models.serving': { tx: (unit, _, input) => models.serving(unit, input) },
  'models.change_serving': { tx: models.changeServing },
  'inferences.list': { tx: (unit, _, input) => inferences.list(unit, input) },
  'inferences.segments': { tx: (unit, _, input) => inferences.segments(unit, input) },
  'inferences.segment_content': { tx: (unit, _, input) => inferences.segmentFile(unit, input) },

  'openai.models': { tx: async unit => ({ object: 'list', data: await models.served(unit) }) },
  'openai.model': { tx: (unit, _, input) => models.servedModel(unit, input) },

  'openai.create_file': { run: batches.files.grant },
  'openai.files': { tx: (unit, _, query) => batches.files.list(unit, query) },
  'openai.file': { tx: (unit, _, input) => batches.files.get(unit, input) },
  'openai.delete_file': { run: batches.files.remove },
  'openai.file_content': { tx: batches.files.content },
  'openai.create_batch': { tx: batches.create },
  'openai.batches': { tx: (unit, _, query) => batches.list(unit, query) },
  'openai.batch': { tx: (unit, _, input) => batches.get(unit, input) },
  'openai.cancel_batch': { tx: batches.cancel },

  'jobs.create': { tx: createJob },
  'jobs.list': { tx: (unit, _, query) => jobs.list(unit, query) },
  'jobs.get': { tx: (unit, _, input) => jobs.get(unit, input) },
  'jobs.cancel': { tx: jobs.cancel },
  'jobs.results': { tx: (unit, _, input) => jobs.resultOf(unit, input) },

  'event_types.declare': { tx: events.declare },
  'event_types.list': { tx: (unit, _, query) => events.types(unit, query) },
  'event_types.get': { tx: (unit, _, input) => events.eventType(unit, input) },
  'events.list': { tx: (unit, _, query) => events.list(unit, query) },
  'events.find': { tx: events.find },
  'events.rejected': { tx: (unit, _, query) => events.rejected(unit, query) },
  'hooks.declare': { run: events.hooks.declare },
  'hooks.list': { tx: (unit, _, query) => events.hooks.list(unit, query) },
  'hooks.get': { tx: (unit, _, input) => events.hooks.get(unit, input) },
  'hooks.remove': { tx: events.hooks.remove },
  'hooks.add_secret': { run: events.hooks.addSecret },
  'hooks.remove_secret': { run: events.hooks.removeSecret },
  'events.settings': { tx: unit => events.settings(unit) },
  'events.change_settings': { tx: events.changeSettings },
  'erasures.create': { tx: events.requestErasure, settle: begunErasure },
  'erasures.list': { tx: (unit, _, query) => events.erasures(unit, query) },
  'erasures.get': { tx: (unit, _, input) => events.erasure(unit, input) },
  'events.quality': { tx: (unit, _, query) => events.quality(unit, query) },
  'events.segments': { tx: (unit, _, query) => events.segments(unit, query) },
  'events.segment_content': { tx: (unit, _, input) => events.segmentFile(unit, input) },
  'events.export': { tx: (unit, _, query) => events.exportPlan(unit, query) },
  'events.export_rest': { run: exportRest },

  'views.apply': { tx: features.applyView },
  'views.plan': { tx: (unit, _, input) => features.planView(unit, input) },
  'views.list': { tx: (unit, _, query) => features.views(unit, query) },
  'views.get': { tx: (unit, _, input) => features.view(unit, input) },
  'views.explain': { run: features.explain },
  'tables.put': { tx: putTable },
  'tables.list': { tx: (unit, _, query) => features.tables.list(unit, query) },
  'tables.get': { tx: (unit, _, input) => features.tables.get(unit, input) },
  'features.skew': { tx: unit => features.skew.report(unit) },
  'services.apply': { tx: features.applyService },
  'services.plan': { tx: (unit, _, input) => features.planService(unit, input) },
  'services.list': { tx: (unit, _, query) => features.services(unit, query) },
  'services.get': { tx: (unit, _, input) => features.service(unit, input) },

  'endpoints.apply': { tx: decisions.applyEndpoint },
  'endpoints.list': { tx: (unit, _, query) => decisions.endpoints(unit, query) },
  'endpoints.get': { tx: (unit, _, input) => decisions.endpoint(unit, input) },
  'endpoints.backtest': { tx: (unit, _, input) => decisions.backtest(unit, input) },
  'decisions.list': { tx: (unit, _, query) => decisions.list(unit, query) },
  'decisions.find': { tx: decisions.find },
  'decisions.feedback': { tx: decisions.feedback },

  'usage.totals': { tx: (unit, _, query) => usage.totals(unit, query) },
  'usage.receipts': { tx: (unit, _, query) => usage.list(unit, query) },
}

function createJob(unit: Unit, call: Call, input: InputOf<'jobs.create'>) {
  if (input.kind === 'training_set') return training.sets.create(unit, call, input)
  if (input.kind === 'proof') return features.proofs.create(unit, call, input)
  if (input.kind === 'skew') return features.checks.create(unit, call, input)
  return bulk.create(unit, call, input)
}

function putTable(unit: Unit, call: Call, input: InputOf<'tables.put'>) {
  const sizeOf = async (sha256: string) => (await models.uploads.fileOf(unit, sha256))?.size
  return features.tables.put(unit, call, input, sizeOf)
}

async function whoami(unit: Unit, { caller }: Call) {
  return {
    tenant: await tenants.get(unit, { tenant_id: caller.tenantId }),
    key: await tenants.keys.get(unit, { key_id: caller.keyId }),
  }
}
