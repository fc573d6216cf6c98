/**
 * Proofs on a tenant's own data: a view is computed from its log in both ways, at the moments at which answers
 * change, and the bits are compared. A run of one step, of a moment that is pinned like that of a training set.
 */
import { sql } from 'drizzle-orm'
import type { Call } from '#core/caller.ts'
import type { Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import * as events from '#core/events/events.ts'
import * as jobs from '#core/jobs/jobs.ts'
import * as usage from '#core/usage/usage.ts'
import type { ServicePlan, ViewPlan } from '#schemas/feature.ts'
import type { StepId } from '#schemas/ids.ts'
import type { ProofFound, ProofSpec } from '#schemas/tables/jobs.ts'
import { viewPlan } from './view-registry.ts'

/** All that a runner must know. */
export type Assignment = jobs.Assigned<'prove'> & {
  spec: ProofSpec
  plan: ViewPlan
}

export type Outcome = {
  kind: 'prove'
  key: string
  size: number
  sha256: string
  computeUs: number
  found: ProofFound
}

type Input = { view: string; version?: number; questions: number; expires_in_s: number }

export async function create(unit: Unit, call: Call, input: Input): Promise<jobs.ShownJob> {
  const { view, version, questions } = input
  const plan = await viewPlan(unit, view, version)
  if (!plan) {
    const pointer = version === undefined ? '/view' : '/version'
    const which = version === undefined ? `"${view}"` : `"${view}" with the version ${version}`
    const detail = `There is no feature view ${which}.`
    throw new AppError('invalid_body', { public: detail, errors: [{ pointer, detail }] })
  }
  const spec: ProofSpec = {
    view,
    viewVersion: plan.version,
    viewHash: plan.hash,
    asOf: unit.clock.now() * 1_000,
    logPosition: await events.newestNumber(unit),
    questions,
  }
  const expiresInS = input.expires_in_s
  return jobs.start(unit, call, { kind: 'proof', first: 'prove', spec, expiresInS })
}

export async function assignment(unit: Unit, leased: jobs.leases.Leased): Promise<Assignment> {
  const { run } = leased
  const spec = run.spec as ProofSpec
  const plan = await viewPlan(unit, spec.view, spec.viewVersion)
  if (!plan) throw new AppError('internal', { internal: `no plan of ${spec.view}` })
  return {
    ...jobs.assigned<'prove'>(leased),
    spec,
    plan,
  }
}

/** Ends the run; its receipt commits in the same transaction. */
export async function finish(
  unit: Unit,
  input: { stepId: StepId; epoch: number; outcome: Outcome },
): Promise<void> {
  const { outcome, ...lease } = input
  const { key, size, sha256, found } = outcome
  const rows = found.questions
  const done = await jobs.leases.complete(unit, {
    ...lease,
    output: { key },
    rowsTotal: rows,
    rowsDone: rows,
    rowsFailed: Math.min(rows, found.mismatches),
    result: { key, size, sha256, lineage: found },
  })
  if (done.status === 'repeated') return
  const spec = done.run.spec as ProofSpec
  const { view: model, viewVersion: version, viewHash: digest } = spec
  const of = { kind: 'proof' as const, model, version, digest }
  await usage.bill(unit, done, of, {
    rows,
    computeUs: outcome.computeUs,
    bytesIn: 0,
    bytesOut: size,
  })
}

/**
 * What serves is followed by another version of a view only when that was proven on the tenant's own log.
 * A first version follows nothing: it needs no proof. Throws `not_proven`.
 */
export async function mustBeProven(
  { tx }: Unit,
  serving: ServicePlan | null,
  next: ServicePlan,
): Promise<void> {
  const before = new Map(serving?.views.map(({ view, hash }) => [view, hash]))
  for (const { view, version, hash } of next.views) {
    if (!before.has(view) || before.get(view) === hash) continue
    const proven = await tx.execute(sql`
      select 1 from runs where kind = 'proof' and state = 'done' and spec->>'viewHash' = ${hash}
        and lineage->>'mismatches' = '0' limit 1`)
    if (proven.rows.length > 0) continue
    const detail = `Version ${version} of the view "${view}" would follow another that serves, and has no proof without a mismatch: prove it (\`galley features prove ${view}@${version}\`), then apply the service again.`
    throw new AppError('not_proven', {
      public: detail,
      errors: [{ pointer: '/features', detail }],
    })
  }
}
