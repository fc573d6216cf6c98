/** Bulk jobs without a pause, and some callers beside them, while machines are taken away. */
import { setTimeout as sleep } from 'node:timers/promises'
import { count, type Job } from '../book.ts'
import type { Json } from '../client.ts'
import { createJob, predict, uploadRows, type WorkloadDeps } from '../workload.ts'

/** At any time, each of some shards, so that every runner has one. */
const JOBS_AT_ONCE = 6
const JOB_ROWS = [15_000, 30_000] as const
const CALLERS = 4
const CALL_PAUSE_MS = [20, 60] as const
const POLL_MS = 150

export function startLoad(deps: WorkloadDeps) {
  const stopping = new AbortController()
  const { signal } = stopping
  const loops = [
    ...Array.from({ length: JOBS_AT_ONCE }, () => jobs(deps, signal)),
    ...Array.from({ length: CALLERS }, (_, i) => calls(deps, i, signal)),
  ]
  return {
    async stop() {
      stopping.abort()
      await Promise.all(loops)
    },
  }
}

async function jobs(deps: WorkloadDeps, signal: AbortSignal): Promise<void> {
  const { random, tenants, book } = deps
  while (!signal.aborted) {
    try {
      const key = random.pick(random.pick(tenants).keys)
      const file = await uploadRows(deps, key, random.int(...JOB_ROWS), 2)
      const job = await createJob(deps, key, file)
      await ended(deps, job, signal)
    } catch (error) {
      count(book.faults, String(error))
    }
  }
}

async function ended({ client }: WorkloadDeps, job: Job, signal: AbortSignal): Promise<void> {
  const path = `/v1/jobs/${job.id}`
  while (!signal.aborted) {
    const shown = await client.insist<Json>({ key: job.key.secret, method: 'GET', path })
    if (!['queued', 'running'].includes(shown.state)) return
    await sleep(POLL_MS, undefined, { signal }).catch(() => {})
  }
}

async function calls(deps: WorkloadDeps, i: number, signal: AbortSignal): Promise<void> {
  const { random, tenants } = deps
  const key = tenants[i % tenants.length]!.keys[0]!
  while (!signal.aborted) {
    await predict(deps, key)
    await sleep(random.int(...CALL_PAUSE_MS), undefined, { signal }).catch(() => {})
  }
}

/** Whether a job's file gives the same bytes again, now that nothing is taken away. */
export async function repeats(deps: WorkloadDeps, job: Job): Promise<boolean> {
  const again = await createJob(deps, job.key, job.file)
  await ended(deps, again, AbortSignal.timeout(deps.client.patienceMs))
  const [first, second] = await Promise.all([job, again].map(one => resultOf(deps, one)))
  return first!.length > 0 && first!.equals(second!)
}

async function resultOf({ client }: WorkloadDeps, { id, key }: Job): Promise<Buffer> {
  const path = `/v1/jobs/${id}/results`
  const reply = await client.once({ key: key.secret, method: 'GET', path })
  return reply.status === 200 ? reply.body : Buffer.alloc(0)
}
