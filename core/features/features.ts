/** Features. The front of this folder: views and services, defined as data and known by their content. */

export { explain } from './explain/explain.ts'
export { type Asked, joinPlan } from './join-keys.ts'
export * as proofs from './proofs.ts'
export { applyService, planService, service, servicePlan, services } from './service-registry.ts'
export * as checks from './skew/checks.ts'
export * as skew from './skew/samples.ts'
export * as tables from './tables/tables.ts'
export { applyView, planView, view, views } from './view-registry.ts'
