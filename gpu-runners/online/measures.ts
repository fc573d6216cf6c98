/** What a runner measures of its models and of itself. */
import type { Servable } from '#core/deps.ts'
import type { BatchMetrics, Gone } from '#gpu-runners/batcher/batcher.ts'
import type { Memory } from '#gpu-runners/models/memory.ts'
import type { Resident } from '#gpu-runners/models/residents.ts'
import { measureProcess } from '#platform/metrics/process.ts'
import { type Amount, Registry, type Snapshot, type Vector } from '#platform/metrics/registry.ts'
import { spanOutcomes } from '#platform/traces/tracer.ts'

const SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

export type Measures = {
  /** One batch of a version that ran, or failed to. */
  batch(servable: Servable, batch: BatchMetrics): void
  /** Of a version: counts one that came and was not computed. */
  gone(servable: Servable): (why: keyof Gone) => void
  /** Of traces, by outcome. */
  spans: Vector<Amount>
  /** Of the inference log, by outcome. */
  logged: Vector<Amount>
  snapshot(): Snapshot
}

export function openMeasures(o: {
  memory: Pick<Memory, 'usedBytes'>
  memoryBudgetBytes: number
  warm(): Iterable<readonly [digest: string, Resident]>
  onlineShare(): number
}): Measures {
  const registry = new Registry()
  measureProcess(registry)
  const model = ['model', 'version', 'digest']
  const sizes = { labels: model, buckets: SIZES }
  const batches = registry.counter(
    'galley_batches_total',
    'Batches, by the reason for which each was closed.',
    [...model, 'reason'],
    1_000,
  )
  const rows = registry.histogram('galley_batch_rows', 'Rows of a batch.', sizes)
  const requests = registry.histogram('galley_batch_requests', 'Requests of a batch.', sizes)
  const queue = registry.histogram('galley_queue_seconds', 'How long its oldest request waited.', {
    labels: model,
    buckets: SECONDS,
  })
  const compute = registry.counter('galley_model_seconds_total', 'Time in the engine.', model)
  const failed = registry.counter('galley_failed_requests_total', 'Requests that failed.', model)
  const gone = registry.counter(
    'galley_dropped_requests_total',
    'Requests that were not computed: refused as they came, too late, or their callers had left.',
    [...model, 'reason'],
    1_000,
  )
  const used = registry.gauge('galley_models_memory_bytes', 'What all models hold together.').of()
  registry
    .gauge('galley_models_memory_budget_bytes', 'What they may.')
    .of()
    .set(o.memoryBudgetBytes)
  const resident = registry.gauge('galley_model_resident_bytes', 'Of a model that is warm.', model)
  const waiting = registry.gauge('galley_model_queued_rows', 'Rows that wait for a model.', model)
  const share = registry
    .gauge('galley_online_share', 'Part of its time that online requests take, of its bottleneck.')
    .of()
  registry.onRead(() => {
    share.set(o.onlineShare())
    used.set(o.memory.usedBytes())
    resident.clear()
    waiting.clear()
    for (const [, { servable, model: loaded, batcher }] of o.warm()) {
      const labels = labelsOf(servable)
      resident.of(...labels).set(loaded.residentBytes())
      waiting.of(...labels).set(batcher.queuedRows)
    }
  })
  const logged = registry.counter(
    'galley_inference_log_total',
    'Requests that were to be logged, by what became of them.',
    ['outcome'],
  )
  return {
    logged,
    spans: spanOutcomes(registry),
    batch(servable, batch) {
      const labels = labelsOf(servable)
      batches.of(...labels, batch.reason).add()
      rows.of(...labels).observe(batch.rows)
      requests.of(...labels).observe(batch.requests)
      queue.of(...labels).observe(batch.waitedMs / 1_000)
      compute.of(...labels).add(batch.computeUs / 1e6)
      if (batch.failed > 0) failed.of(...labels).add(batch.failed)
    },
    gone(servable) {
      const of = (why: keyof Gone) => gone.of(...labelsOf(servable), why)
      const amounts = { refused: of('refused'), late: of('late'), left: of('left') }
      return why => amounts[why].add()
    },
    snapshot: () => registry.snapshot(),
  }
}

/** The name is that of the tenant who had it loaded; the digest tells versions apart for sure. */
function labelsOf({ model, version, digest }: Servable): [string, string, string] {
  return [model, String(version), digest.slice(0, 12)]
}
