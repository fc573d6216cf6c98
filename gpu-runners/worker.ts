/** A runner: online batches over its channel to the router, bulk steps and validations from the queue. */
import { mkdirSync, rmSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { addressOf } from '#platform/channel/transport.ts'
import { endWithParent, reportReady } from '#platform/parent.ts'
import { openTracer } from '#platform/traces/tracer.ts'
import { queuesOf, type RunnerWork } from '#schemas/queues.ts'
import { announcing } from './announcing.ts'
import type { BulkDeps } from './bulk/bulk.ts'
import { openDeps } from './deps.ts'
import { type Dialled, dialRouters } from './dialling/dial.ts'
import { readEnv } from './env.ts'
import { serveHealth } from './health.ts'
import { leave, newLeaving } from './leaving/leave.ts'
import { instanceMetadata } from './leaving/metadata.ts'
import { leftMs, type Notice, watchNotices } from './leaving/notices.ts'
import { alsoHolding } from './leaving/protection.ts'
import { openLoad } from './load.ts'
import { openBulkModels } from './models/bulk-models.ts'
import { openModelFiles } from './models/files.ts'
import { openMemory } from './models/memory.ts'
import { openResidents } from './models/residents.ts'
import { openInferenceLog } from './online/inference-log.ts'
import { openMeasures } from './online/measures.ts'
import { serveOnline } from './online/online.ts'
import { openReceiptLog } from './online/receipt-log.ts'
import { Statistics } from './online/statistics.ts'
import { type StepDeps, steps } from './steps.ts'
import { openTokenizers } from './text/tokenizers.ts'
import { traced } from './traced.ts'
import { validations } from './validations.ts'

const env = readEnv()
const deps = await openDeps(env)
const { clock, log } = deps
// One that lacks what its class has serves as any machine does.
const hardware = deps.lacks === null ? env.hardware : 'cpu'
rmSync(env.scratchFolder, { recursive: true, force: true })
mkdirSync(env.scratchFolder, { recursive: true, mode: 0o700 })

let dialled: Dialled | undefined
const files = openModelFiles(deps, { folder: `${env.scratchFolder}/models` })
const memory = openMemory(deps, {
  budgetBytes: env.modelMemoryBytes,
  overheadBytes: () => deps.engine.overheadBytes(),
})
const measures = openMeasures({
  memory,
  memoryBudgetBytes: env.modelMemoryBytes,
  warm: () => residents.all(),
  onlineShare: () => load.share(),
})
const tracer = openTracer(
  { fetch, clock, log, background: work => void work, outcomes: measures.spans },
  env.traces,
  env.name,
)
const residents = openResidents(
  { ...deps, files, memory, hardware, tracer },
  {
    onChange: digests => dialled?.announce(digests),
    onBatch: (servable, batch) => measures.batch(servable, batch),
    goneOf: servable => measures.gone(servable),
  },
)
const bulkModels = openBulkModels({ ...deps, files, memory, hardware })
const receipts = openReceiptLog(deps, {
  folder: env.receiptsFolder,
  ship: async lines => {
    await deps.control.askJson('/internal/receipts', `{"lines":${lines}}`)
  },
  onShipped: count => dialled?.shipped(count),
})
const statistics = new Statistics(clock)
const inferenceLog = openInferenceLog(deps, measures.logged)
dialled = dialRouters(deps, {
  address: addressOf(env.router),
  key: env.key,
  runner: env.name,
  machine: { hardware, isDedicated: env.isDedicated },
  serve: channel =>
    serveOnline(
      { residents, receipts, measures, statistics, inferenceLog, clock, log, tracer },
      channel,
    ),
})

/** Those of bulk work: what is served online has its own. */
const tokenizers = openTokenizers()
const leaving = newLeaving()
const { signal: draining } = leaving.draining
const withModel: BulkDeps['withModel'] = ({ tenantId, model }, work) =>
  bulkModels.use(tenantId, model, work)
const scratch = env.scratchFolder
const work: StepDeps['work'] = (assignment, signal, on) => {
  const { tenantId, runId, stepId, kind, number, epoch, trace } = assignment
  const attributes = {
    'galley.tenant.id': tenantId,
    'galley.run.id': runId,
    'galley.step.id': stepId,
    'galley.step.kind': kind,
    'galley.step.number': number,
    'galley.step.epoch': epoch,
  }
  return traced(tracer, { name: 'step', trace, attributes }, () => workOn(assignment, signal, on))
}
const workOn: StepDeps['work'] = async (assignment, signal, on) => {
  // A shard of bulk work makes itself ready before.
  if (assignment.kind !== 'shard' || 'form' in assignment) await on.begin()
  if (assignment.kind === 'make') {
    const { makeSet } = await import('./features/job.ts')
    return makeSet({ ...deps, scratch }, assignment, signal, on.progress)
  }
  if (assignment.kind === 'prove') {
    const { proveView } = await import('./features/proof/job.ts')
    return proveView({ ...deps, scratch }, assignment, signal, on.progress)
  }
  if (assignment.kind === 'check') {
    const { checkReads } = await import('./features/skew/job.ts')
    return checkReads({ ...deps, scratch }, assignment, signal)
  }
  if (assignment.kind === 'import') {
    const { importTable } = await import('./features/tables/job.ts')
    return importTable({ ...deps, scratch }, assignment, signal, on.progress)
  }
  if ('form' in assignment) {
    const { runBatchStep } = await import('./batches/batches.ts')
    return runBatchStep({ ...deps, models: bulkModels, tokenizers }, assignment, signal)
  }
  const { runStep } = await import('./bulk/bulk.ts')
  return runStep({ ...deps, scratch, withModel, hardware }, assignment, signal, on)
}
const load = openLoad({
  now: () => performance.now(),
  slots: () => deps.engine.processes().filter(({ lane }) => lane === 'online'),
  loopMs: () => performance.eventLoopUtilization().active,
  cores: availableParallelism(),
})
const protection = alsoHolding(deps.protection, load.other)
const warmModels = () => [...residents.all()].length
/** One that is there for its class alone, and lacks what that has, is of no use to any. */
const isOfUse = deps.lacks === null || !env.isDedicated
const queues = (what: RunnerWork) => queuesOf(what, { ...env, hardware })
const loops = [
  isOfUse &&
    steps(
      { ...deps, protection, queues: queues('work'), runner: env.name, hardware, work },
      { draining, givingUp: leaving.givingUp.signal },
    ),
  isOfUse &&
    validations(
      { ...deps, tracer, protection, queues: queues('validate'), files, hardware },
      draining,
    ),
  announcing({ ...deps, load, warmModels }, env, draining),
].filter(loop => loop !== false)

const closeAll = async (withinMs: number) => {
  const late = sleep(withinMs, undefined, { ref: false })
  const courtesies = () =>
    Promise.all([inferenceLog.close(), deps.protection.settled(), tracer?.close(withinMs)])
  await Promise.all([withinMs > 0 && Promise.race([courtesies(), late]), receipts.close(withinMs)])
  // An engine that hangs ends with this process: its pipe closes.
  await Promise.race([deps.engine.close(), late])
}
let stopMs = env.stopMs
const end = endWithParent(why =>
  leave(leaving, { dialled, loops, close: closeAll }, why === 'stop' ? stopMs : 0),
)
if (env.metadataUrl) {
  const metadata = instanceMetadata(deps, env.metadataUrl)
  const onNotice = (notice: Notice) => {
    stopMs = leftMs(notice, clock.now(), stopMs)
    end('stop')
  }
  void watchNotices({ ...deps, metadata }, onNotice, draining)
}
if (env.healthPort !== null) {
  await serveHealth(env.healthPort, () => dialled.routers() > 0 && !draining.aborted)
}
reportReady()
