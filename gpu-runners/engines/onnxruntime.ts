/**
 * ONNX Runtime in processes. Small graphs of a lane share one, because an idle process costs tens of
 * megabytes; a large graph has its own, so that loading it stalls nobody and unloading it returns all
 * of its memory. A model under which a process died twice is exiled to one of its own: if it is the
 * cause, it is nobody else's any more.
 */
import { stat } from 'node:fs/promises'
import type { Log } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { Tensor } from '#core/inference/tensor.ts'
import {
  type Engine,
  EngineCrash,
  type LoadedModel,
  type LoadOptions,
  type ModelFiles,
} from './engine.ts'
import { EMPTY } from './frames.ts'
import { checkLoaded, loadFrame, resultOf, runFrame } from './messages.ts'
import { type EngineProcess, ProcessEnded, startProcess } from './process.ts'

export type EngineOptions = {
  log: Log
  /** Kills a process that works longer on one batch. */
  runMsMax?: number
  loadMsMax?: number
  /** Threads inside one run: more than one makes small models slower. */
  threads?: number
  /** Graphs up to this size share a process. */
  sharedGraphBytesMax?: number
}

/** Two ends of a process under one model within this time are no chance. */
const CRASHES_APART_MS = 60_000

type Place = { process: EngineProcess; modelId: number }
type Host = { process: EngineProcess; lane: string; models: Set<Model>; shared: boolean }
type Model = {
  files: ModelFiles
  lane: string
  alone: boolean
  host: Host | null
  place: Promise<Place> | null
  /** It has been loaded where it is now, or was last. */
  loaded: boolean
  inFlight: Set<Promise<unknown>>
  closed: boolean
  lastCrashMs: number
}

export function openOnnxRuntime(options: EngineOptions): Engine {
  const { log, runMsMax = 60_000, loadMsMax = 120_000, threads = 1 } = options
  const { sharedGraphBytesMax = 8 * 2 ** 20 } = options
  const hosts = new Set<Host>()
  let lastModelId = 0
  let closed = false

  function hostFor(model: Model): Host {
    if (!model.alone) {
      for (const host of hosts)
        if (host.shared && host.lane === model.lane && host.process.alive) return host
    }
    const process = startProcess()
    const host: Host = { process, lane: model.lane, models: new Set(), shared: !model.alone }
    hosts.add(host)
    process.ended.then(reason => {
      hosts.delete(host)
      const orphans = [...host.models]
      if (orphans.length === 0 || closed) return
      log.error('engine.ended', { reason, models: orphans.map(m => m.files.digest) })
      for (const orphan of orphans) {
        orphan.host = null
        orphan.place = null
        // Warm again before the next request asks; if that fails, the request says why. One under whose
        // load the process ended waits for a request: by itself it would end one process after the other.
        if (orphan.loaded && !orphan.closed) placeOf(orphan).catch(noop)
      }
    })
    return host
  }

  /** Where the model is loaded; loads it if it is nowhere. */
  function placeOf(model: Model): Promise<Place> {
    if (model.place) return model.place
    const host = hostFor(model)
    const modelId = ++lastModelId
    host.models.add(model)
    model.host = host
    const place = load(host.process, modelId, model.files)
    model.place = place
    model.loaded = false
    place.then(
      () => {
        model.loaded = true
      },
      () => {
        if (model.place === place) leave(model)
      },
    )
    return place
  }

  async function load(process: EngineProcess, modelId: number, files: ModelFiles): Promise<Place> {
    checkLoaded(await process.request(loadFrame(modelId, files, threads), loadMsMax), files)
    return { process, modelId }
  }

  /** Takes the model out of its process, and ends the process when it was the last. */
  function leave(model: Model): Promise<void> | undefined {
    const { host } = model
    model.host = null
    model.place = null
    host?.models.delete(model)
    if (host && host.models.size === 0) {
      hosts.delete(host)
      return host.process.close()
    }
  }

  async function run(model: Model, inputs: readonly Tensor[], names: readonly string[]) {
    const frame = runFrame(model.files.signature, inputs, names)
    for (let attempt = 1; ; attempt++) {
      try {
        const place = await placeOf(model)
        const reply = await place.process.request({ ...frame, model: place.modelId }, runMsMax)
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
    { lane = 'online' }: LoadOptions = {},
  ): Promise<LoadedModel> {
    const alone = (await stat(files.graphPath)).size > sharedGraphBytesMax
    const model: Model = {
      files,
      lane,
      alone,
      host: null,
      place: null,
      loaded: false,
      inFlight: new Set(),
      closed: false,
      lastCrashMs: Number.NEGATIVE_INFINITY,
    }
    await loadOnce(model)
    return {
      digest: files.digest,
      signature: files.signature,
      async run(inputs, outputs) {
        if (model.closed || closed) throw new AppError('unavailable', UNLOADED)
        const running = run(model, inputs, outputs)
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
    const left = leave(model)
    if (place && shared) {
      await place.process
        .request({ ...EMPTY, kind: 'unload', model: place.modelId }, loadMsMax)
        .catch(noop)
    }
    await left
  }

  return {
    load: open,
    processes: () =>
      [...hosts].map(({ process, lane, models }) => ({
        pid: process.pid,
        lane,
        models: [...models].map(model => model.files.digest),
      })),
    async close() {
      closed = true
      await Promise.all([...hosts].map(host => host.process.close()))
    },
  }
}

const UNLOADED = { internal: 'the model was unloaded', retryable: true }

function noop() {}
