/**
 * ONNX Runtime in processes. A model under which a process died twice is exiled to one of its own: if it
 * is the cause, it is nobody else's any more.
 */
import { stat } from 'node:fs/promises'
import type { Log } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { Tensor } from '#core/inference/tensor.ts'
import {
  type Engine,
  EngineCrash,
  type HostedModel,
  type LoadOptions,
  type ModelFiles,
} from './engine.ts'
import { EMPTY } from './frames.ts'
import { heldBy, type Model, openHosts, overheadOf, type Place, shown } from './hosts.ts'
import { grownBytes, loadFrame, resultOf, runFrame } from './messages.ts'
import { type EngineProcess, ProcessEnded } from './process.ts'

export type EngineOptions = {
  log: Log
  /** Execution providers in the order in which they are tried; operators that none has run on the CPU. */
  providers?: readonly string[]
  /** Kills a process that works longer on one batch. */
  runMsMax?: number
  loadMsMax?: number
  /** Threads inside one run where a model has no number of its own: more than one makes small ones slower. */
  threads?: number
  /** Models whose files are no larger together share a process. */
  sharedGraphBytesMax?: number
}

/** Two ends of a process under one model within this time are no chance. */
const CRASHES_APART_MS = 60_000

export function openOnnxRuntime(options: EngineOptions): Engine {
  const { log, providers = ['cpu'], runMsMax = 60_000, loadMsMax = 120_000 } = options
  const { sharedGraphBytesMax = 8 * 2 ** 20, threads: threadsUsual = 1 } = options
  const hosts = openHosts(onEnd)
  let lastModelId = 0
  let closed = false

  function onEnd(orphans: Model[], reason: string): void {
    if (orphans.length === 0 || closed) return
    log.error('engine.ended', { reason, models: orphans.map(m => m.files.digest) })
    for (const orphan of orphans) {
      // Warm again before the next request asks; if that fails, the request says why. One under whose
      // load the process ended waits for a request: by itself it would end one process after the other.
      if (orphan.loaded && !orphan.closed) placeOf(orphan).catch(noop)
    }
  }

  /** Where the model is loaded; loads it if it is nowhere. */
  function placeOf(model: Model): Promise<Place> {
    if (model.place) return model.place
    const host = hosts.take(model)
    const place = load(host.process, ++lastModelId, model)
    model.place = place
    model.loaded = false
    place.then(
      () => {
        model.loaded = true
      },
      () => {
        if (model.place === place) hosts.leave(model)
      },
    )
    return place
  }

  async function load(process: EngineProcess, modelId: number, model: Model): Promise<Place> {
    const { files, threads } = model
    const reply = await process.request(
      loadFrame(modelId, files, { threads, providers }),
      loadMsMax,
    )
    model.grownBytes = grownBytes(reply, files)
    return { process, modelId }
  }

  async function run(
    model: Model,
    inputs: readonly Tensor[],
    names: readonly string[],
    worth: number | undefined,
  ) {
    const frame = runFrame(model.files.signature, inputs, names)
    for (let attempt = 1; ; attempt++) {
      try {
        const place = await placeOf(model)
        const asked = { ...frame, model: place.modelId }
        const reply = await place.process.request(asked, runMsMax, worth)
        return resultOf(reply, names, model.files)
      } catch (error) {
        if (!(error instanceof ProcessEnded)) throw error
        if (error.running) throw exile(model, error)
        // Another's run ended the process; this one only waited.
        if (attempt === 3) throw new EngineCrash(error.message)
      }
    }
  }

  function exile(model: Model, error: ProcessEnded): EngineCrash {
    const now = performance.now()
    const again = now - model.lastCrashMs < CRASHES_APART_MS
    model.lastCrashMs = now
    if (again && !model.alone) {
      model.alone = true
      log.error('engine.exiled', { digest: model.files.digest, reason: error.message })
    }
    return new EngineCrash(error.message)
  }

  async function open(
    files: ModelFiles,
    { lane = 'online', threads = threadsUsual }: LoadOptions = {},
  ): Promise<HostedModel> {
    // Weights in files of their own are loaded as well.
    const bytes = files.bytes ?? (await stat(files.graphPath)).size
    const model: Model = {
      files,
      lane,
      threads,
      alone: bytes > sharedGraphBytesMax,
      host: null,
      place: null,
      loaded: false,
      grownBytes: 0,
      inFlight: new Set(),
      closed: false,
      lastCrashMs: Number.NEGATIVE_INFINITY,
    }
    await loadOnce(model)
    return {
      digest: files.digest,
      signature: files.signature,
      get busy() {
        return model.inFlight.size > 0
      },
      residentBytes: () => heldBy(model),
      async run(inputs, outputs, worth) {
        if (model.closed || closed) throw new AppError('unavailable', UNLOADED)
        const running = run(model, inputs, outputs, worth)
        const settled: Promise<unknown> = running
          .then(noop, noop)
          .then(() => model.inFlight.delete(settled))
        model.inFlight.add(settled)
        return running
      },
      async close() {
        if (model.closed) return
        model.closed = true
        await Promise.all(model.inFlight)
        await unload(model)
      },
    }
  }

  /** A process may end while this model loads for another's reason: once more, then alone. */
  async function loadOnce(model: Model): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await placeOf(model)
        return
      } catch (error) {
        if (!(error instanceof ProcessEnded)) throw error
        // It was loaded when it was published: that it fails here may be this machine's state.
        if (model.alone || attempt === 2) throw new EngineCrash(error.message)
        model.alone = error.running
      }
    }
  }

  async function unload(model: Model): Promise<void> {
    const place = await model.place?.catch(() => null)
    const shared = model.host && model.host.models.size > 1
    const left = hosts.leave(model)
    if (place && shared) {
      await place.process
        .request({ ...EMPTY, kind: 'unload', model: place.modelId }, loadMsMax)
        .catch(noop)
    }
    await left
  }

  return {
    load: open,
    processes: () => hosts.all().map(shown),
    overheadBytes: () => overheadOf(hosts.all()),
    async close() {
      closed = true
      await hosts.close()
    },
  }
}

const UNLOADED = { internal: 'the model was unloaded', retryable: true }

function noop() {}
