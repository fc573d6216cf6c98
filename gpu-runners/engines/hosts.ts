/**
 * Which process a model is in. Small graphs of a lane share one, because an idle process costs tens of
 * megabytes; a large model has its own, so that loading it stalls nobody and unloading it returns all of
 * its memory. Two versions of one model never share: what the new one does to its process, the old one
 * serves through.
 */
import type { EngineHost, ModelFiles } from './engine.ts'
import { type EngineProcess, startProcess } from './process.ts'
import { residentBytes } from './resident.ts'

export type Place = { process: EngineProcess; modelId: number }
export type Host = { process: EngineProcess; lane: string; models: Set<Model>; shared: boolean }
export type Model = {
  files: ModelFiles
  lane: string
  threads: number
  alone: boolean
  host: Host | null
  place: Promise<Place> | null
  /** It has been loaded where it is now, or was last. */
  loaded: boolean
  /** By how much its process grew when it was loaded last. */
  grownBytes: number
  inFlight: Set<Promise<unknown>>
  closed: boolean
  lastCrashMs: number
}

export type Hosts = {
  /** The process for the model: one that runs and may take it, or a new one. */
  take(model: Model): Host
  /** Takes the model out of its process, and ends the process when it was the last. */
  leave(model: Model): Promise<void> | undefined
  all(): Host[]
  close(): Promise<void>
}

/** `onEnd`: a process ended under its models. */
export function openHosts(onEnd: (orphans: Model[], reason: string) => void): Hosts {
  const hosts = new Set<Host>()

  function start({ lane, alone }: Model): Host {
    const process = startProcess()
    const host: Host = { process, lane, models: new Set(), shared: !alone }
    hosts.add(host)
    process.ended.then(reason => {
      hosts.delete(host)
      const orphans = [...host.models]
      for (const orphan of orphans) {
        orphan.host = null
        orphan.place = null
      }
      onEnd(orphans, reason)
    })
    return host
  }

  return {
    take(model) {
      const open = model.alone ? undefined : [...hosts].find(host => takes(host, model))
      const host = open ?? start(model)
      host.models.add(model)
      model.host = host
      return host
    },
    leave(model) {
      const { host } = model
      model.host = null
      model.place = null
      host?.models.delete(model)
      if (!host || host.models.size > 0) return
      hosts.delete(host)
      return host.process.close()
    },
    all: () => [...hosts],
    async close() {
      await Promise.all([...hosts].map(host => host.process.close()))
    },
  }
}

export function shown({ process, lane, models }: Host): EngineHost {
  return {
    pid: process.pid,
    lane,
    models: [...models].map(model => model.files.digest),
    threads: Math.max(1, ...[...models].map(model => model.threads)),
    workedMs: process.workedMs(),
  }
}

/** What the model holds: all of a process of its own, or by how much it made a shared one grow. */
export function heldBy({ host, grownBytes }: Model): number {
  if (!host) return 0
  return host.shared ? grownBytes : residentBytes(host.process.pid)
}

/** What shared processes hold that is no model's. */
export function overheadOf(hosts: Host[]): number {
  return hosts.reduce((sum, { shared, process, models }) => {
    if (!shared) return sum
    const grown = [...models].reduce((bytes, model) => bytes + model.grownBytes, 0)
    return sum + Math.max(0, residentBytes(process.pid) - grown)
  }, 0)
}

function takes(host: Host, { files, lane }: Model): boolean {
  if (!host.shared || host.lane !== lane || !host.process.alive) return false
  const { family, digest } = files
  if (family === undefined) return true
  return ![...host.models].some(
    other => other.files.family === family && other.files.digest !== digest,
  )
}
