/** The proofs that a service needs before it moves to the newest versions of its views. */
import type { Galley } from '../../../client.ts'
import { GalleyError } from '../../../error.ts'
import type { Context } from '../../command.ts'
import { waited } from '../jobs.ts'

/** Null for the refusal that a proof will lift; throws any other. */
export function notProven(error: unknown): null {
  if (error instanceof GalleyError && error.code === 'not_proven') return null
  throw error
}

/** Proves each version that would follow one that serves. What is wrong, or null. */
export async function proveNext(
  context: Context,
  galley: Galley,
  service: string,
): Promise<string | null> {
  const { signal } = context
  const serving = await galley.request('services.get', { params: { service } }, { signal })
  for (const { name, hash } of serving.views) {
    const newest = await galley.request('views.get', { params: { view: name } }, { signal })
    if (newest.hash === hash) continue
    const body = { kind: 'proof' as const, view: name, version: newest.version }
    const created = await galley.request('jobs.create', { body }, { signal })
    const job = await waited(context, galley, created.id)
    if (job.kind === 'proof' && job.state === 'done' && job.proof?.mismatches === 0) continue
    const which = `${name}@${newest.version}`
    const how = job.state === 'done' ? 'has mismatches' : `is ${job.state}`
    return `Service "${service}" stays as it is: the proof of ${which} (${created.id}) ${how}. See it with: galley features prove ${which}`
  }
  return null
}
