/** What serves is followed by another version of a view only when that was proven on the tenant's own log. */
import { sql } from 'drizzle-orm'
import type { Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { ServicePlan } from '#schemas/feature.ts'

/** A first version follows nothing: it needs no proof. Throws `not_proven`. */
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
