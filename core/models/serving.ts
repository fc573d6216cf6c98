/** What a model is served with besides being run: settings of its tenant, found with the version. */
import { eq } from 'drizzle-orm'
import type { Call } from '#core/caller.ts'
import type { Servable, Unit } from '#core/deps.ts'
import { audit } from '#core/tenants/tenants.ts'
import type { CacheSetting, LogSetting, Serving } from '#schemas/serving.ts'
import { modelServing } from '#schemas/tables/serving.ts'
import { modelOf, resolve } from './resolve.ts'

type Given = { cache: CacheSetting | null; inference_log: LogSetting | null }

/** The version that a request means, with what it is to be served with. Throws like `resolve`. */
export async function resolveWithServing(
  unit: Unit,
  name: string,
  wanted?: string,
): Promise<Servable> {
  const found = await resolve(unit, name, wanted)
  const row = await rowOf(unit, name)
  const serving: Serving = {}
  if (row?.cache) serving.cache = row.cache
  if (row?.inferenceLog) serving.inference_log = row.inferenceLog
  return Object.keys(serving).length > 0 ? { ...found, serving } : found
}

export async function serving(unit: Unit, { model }: { model: string }) {
  await modelOf(unit, model)
  const row = await rowOf(unit, model)
  return {
    model,
    cache: row?.cache ?? null,
    inference_log: row?.inferenceLog ?? null,
    changed_at: row?.changedAt.toISOString() ?? null,
  }
}

/** Whole: what is null is off. Edges hear of it within ten seconds, the caller's own at once. */
export async function changeServing(unit: Unit, call: Call, input: { model: string } & Given) {
  const { model, cache, inference_log: inferenceLog } = input
  await modelOf(unit, model)
  const { tenantId } = call.caller
  const changedAt = new Date(unit.clock.now())
  await unit.tx
    .insert(modelServing)
    .values({ tenantId, model, cache, inferenceLog, changedAt })
    .onConflictDoUpdate({
      target: [modelServing.tenantId, modelServing.model],
      set: { cache, inferenceLog, changedAt },
    })
  await audit.record(unit, call, {
    action: 'models.serving',
    target: model,
    detail: { cache, inference_log: inferenceLog },
  })
  return serving(unit, { model })
}

async function rowOf({ tx }: Unit, model: string) {
  const [row] = await tx.select().from(modelServing).where(eq(modelServing.model, model))
  return row
}
