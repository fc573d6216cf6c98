/** All versions of a tenant's models, as Triton's repository index lists them. */
import { asc, desc, ne } from 'drizzle-orm'
import type { Unit } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { modelVersions } from '#schemas/tables/models.ts'

/** That index knows no pages. */
const INDEX_MAX = 10_000

/** By name, the newest version of each first. Throws `conflict` where there are more than it can list. */
export async function index(unit: Unit) {
  const rows = await unit.tx
    .select({
      name: modelVersions.model,
      version: modelVersions.number,
      digest: modelVersions.digest,
      state: modelVersions.state,
      error: modelVersions.error,
    })
    .from(modelVersions)
    .where(ne(modelVersions.state, 'deleted'))
    .orderBy(asc(modelVersions.model), desc(modelVersions.number))
    .limit(INDEX_MAX + 1)
  if (rows.length <= INDEX_MAX) return rows
  throw new AppError('conflict', {
    public: `There are more than ${INDEX_MAX} versions, which is what the index holds: list them at /v1/registry/models.`,
  })
}
