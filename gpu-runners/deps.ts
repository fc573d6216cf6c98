/** What a runner is made of, built once from its environment. */
import type { Blobs, Clock, Log, Queue } from '#core/deps.ts'
import { openSigner, type Signer } from '#core/internal/signing.ts'
import { openBlobs } from '#platform/blob/open.ts'
import { openFunctions } from '#platform/functions/open.ts'
import { openLog } from '#platform/log.ts'
import { openSqs } from '#platform/queue/open.ts'
import { remoteQueue } from '#platform/queue/remote.ts'
import { type Control, openControl } from './control.ts'
import type { Engine } from './engines/engine.ts'
import { openOnnxRuntime } from './engines/onnxruntime.ts'
import { probe } from './engines/providers.ts'
import type { RunnerEnv } from './env.ts'
import { type Protection, taskProtection, UNPROTECTED } from './leaving/protection.ts'

export type RunnerDeps = {
  clock: Clock
  log: Log
  signer: Signer
  control: Control
  queue: Queue
  blobs: Blobs
  protection: Protection
  engine: Engine
  /** Execution providers that sessions are opened with. */
  providers: readonly string[]
  /** Why the machine cannot serve what asks for its class; null: it can. */
  lacks: string | null
}

export async function openDeps(env: RunnerEnv): Promise<RunnerDeps> {
  const clock = { now: () => Date.now() }
  const log = openLog({ place: env.name, clock })
  const signer = await openSigner('runner', env.key)
  const functions = await openFunctions(env.functionsUrl)
  const control = openControl({ url: env.functionsUrl, functions, signer, clock })
  const blobs = await openBlobs(env.blobs)
  const queue = env.queues ? await openSqs(env.queues, { blobs, log }) : queueOf(control)
  const protection = env.ecsAgentUrl ? taskProtection({ log }, env.ecsAgentUrl) : UNPROTECTED
  const { usable, lacks } = await probe({ log }, env.providers)
  const engine = openOnnxRuntime({ log, providers: usable })
  const opened = { clock, log, signer, control, queue, blobs, protection, engine }
  return { ...opened, providers: usable, lacks }
}

/** The queue behind the functions: without credentials of its own. */
function queueOf(control: Control): Queue {
  return remoteQueue({
    request: (operation, input, signal) =>
      control.ask('/internal/queue', { operation, input }, signal),
  })
}
