/** Uploaded versions are judged here: the sandbox says what a model is, the control API keeps it. */
import { setTimeout as sleep } from 'node:timers/promises'
import * as blobKeys from '#core/blob-keys.ts'
import type { Blobs, Log, Queue, Tracer } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { TraceContext } from '#core/trace.ts'
import type { TenantId, VersionId } from '#schemas/ids.ts'
import { QUEUES, type RunnerQueue } from '#schemas/queues.ts'
import type { Signature } from '#schemas/signature.ts'
import type { Manifest } from '#schemas/tables/models.ts'
import type { Control } from './control.ts'
import type { Engine } from './engines/engine.ts'
import { holdMessage } from './hold.ts'
import type { Protection } from './leaving/protection.ts'
import { loadable, type ModelFiles } from './models/files.ts'
import { type Received, receiver } from './receiving.ts'
import { traced } from './traced.ts'
import { onlyCpu, tryOnHardware, tuningOn } from './validate/on-hardware.ts'
import { validateModel } from './validate/validate.ts'

/** The longest pause before a version that could not be judged is tried again. */
const AGAIN_S_MAX = 300

export type ValidationDeps = {
  queue: Queue
  /** Those that it reads. */
  queues: readonly RunnerQueue[]
  control: Control
  blobs: Blobs
  log: Log
  /** Absent or null: nothing is traced. */
  tracer?: Tracer | null
  engine: Engine
  files: ModelFiles
  protection: Protection
  /** The class of this runner, for which measurements hold. */
  hardware: string
  /** What its sessions are opened with. */
  providers: readonly string[]
}

/** What the functions say of a message. `isElsewhere`: runners of another class hear of it instead. */
type Opened = { manifest: Manifest | null; isElsewhere?: boolean }

/** Judges versions one after the other until the signal fires. */
export async function validations(deps: ValidationDeps, signal: AbortSignal): Promise<void> {
  const receiving = receiver(deps.queue, deps.queues)
  while (!signal.aborted) {
    try {
      const received = await receiving.next(signal)
      if (!received) continue
      const met = () => receiving.met(received.queue)
      await validation({ ...deps, met }, received, signal)
    } catch (error) {
      if (signal.aborted) return
      deps.log.error('runner.validation_failed', { error: String(error) })
      await sleep(1_000, undefined, { signal }).catch(() => {})
    }
  }
}

async function validation(
  deps: ValidationDeps & { met(): void },
  { queue: name, message }: Received,
  signal: AbortSignal,
): Promise<void> {
  const { tenantId, versionId, trace } = JSON.parse(message.body) as {
    tenantId: TenantId
    versionId: VersionId
    trace?: TraceContext
  }
  const { hardware } = deps
  const hold = holdMessage(deps.queue, name, message, QUEUES[name].visibilityS)
  const unprotect = deps.protection.hold()
  try {
    const { manifest, isElsewhere } = await deps.control.ask<Opened>(
      '/internal/validations/open',
      { tenantId, versionId, hardware, trace },
      signal,
    )
    if (isElsewhere) deps.met()
    if (manifest) {
      refuseElsewhere(manifest, hardware)
      const attributes = { 'galley.tenant.id': tenantId, 'galley.version.id': versionId }
      const verdict = await traced(deps.tracer, { name: 'validate', trace, attributes }, () =>
        judge(deps, { tenantId, versionId, manifest }, signal),
      )
      await deps.control.insist(
        '/internal/validations/judge',
        { tenantId, versionId, verdict },
        signal,
      )
    }
    await deps.queue.delete(name, [message.receipt])
  } catch (error) {
    // Given back: at once on a drain, else ever later, so that a full disk does not use up its receives.
    hold.release()
    const againS = signal.aborted ? 0 : Math.min(AGAIN_S_MAX, 2 ** message.receiveCount)
    await deps.queue.extend(name, message.receipt, againS).catch(() => {})
    throw error
  } finally {
    hold.release()
    unprotect()
  }
}

/** Functions of an older version hand out what is not for this class; those of this one never do. */
function refuseElsewhere(manifest: Manifest, hardware: string): void {
  if (manifest.hardware === undefined || manifest.hardware === hardware) return
  const internal = `a version for ${manifest.hardware} came to a runner of ${hardware}`
  throw new AppError('unavailable', { internal, retryable: true })
}

async function judge(
  deps: ValidationDeps,
  version: { tenantId: TenantId; versionId: VersionId; manifest: Manifest },
  signal: AbortSignal,
) {
  const { tenantId, manifest } = version
  const files = await Promise.all(
    manifest.files.map(async file => ({
      ...file,
      localPath: await deps.blobs.localFile(blobKeys.file(tenantId, file.sha256)),
    })),
  )
  const input = {
    files,
    graph: manifest.graph,
    batchAxes: manifest.batch_axes,
    trialDims: manifest.trial_shapes,
    embedding: manifest.embedding,
  }
  const verdict = await validateModel({ log: deps.log }, input, signal)
  if (!verdict.ok) return { ok: false as const, detail: verdict.detail }
  const { signature, ok, tuning: measured, ...found } = verdict
  if (!ok) throw new AppError('internal')
  const tried = onlyCpu(deps.providers)
    ? { tuning: measured, detail: null }
    : await onHardware(deps, version, signature, found.trial.shapes)
  if (tried.detail !== null) {
    const detail = `On ${deps.hardware} (${deps.providers.join(', ')}): ${tried.detail}`
    return { ok: false as const, detail }
  }
  const tuning = tuningOn(deps.hardware, tried.tuning)
  return { ok: true as const, signature, report: { ...found, tuning } }
}

async function onHardware(
  { engine, files: modelFiles }: ValidationDeps,
  { tenantId, versionId, manifest }: Parameters<typeof judge>[1],
  signature: Signature,
  shapes: Record<string, number[]>,
) {
  const servable = { model: versionId, version: 0, digest: versionId, manifest, signature }
  const files = await modelFiles.borrow(tenantId, servable)
  try {
    return await tryOnHardware(engine, loadable(tenantId, servable, files), shapes)
  } finally {
    await files.release()
  }
}
