/**
 * What a runner needs of an engine: models loaded by path and run on tensors, off the thread that
 * serves. `docs/decisions/0005-engine-host.md` has the reasons for processes.
 */
import { AppError } from '#core/error.ts'
import type { Tensor } from '#core/inference/tensor.ts'
import type { Signature } from '#schemas/signature.ts'

export type ModelFiles = {
  /** The version's digest; names it in logs. */
  digest: string
  /** The graph; external data lies beside it under the names that the graph uses. */
  graphPath: string
  signature: Signature
  /** Of all files of the version together; the graph's own size where it is not given. */
  bytes?: number
  /** Whose version it is: two versions of one family never share a process. */
  family?: string
}

export type LoadOptions = {
  /** Models of different lanes never share a process: bulk work does not stand in front of online work. */
  lane?: string
  /** Threads inside one run; the engine's default where it is not given. */
  threads?: number
}

export type RunResult = {
  /** In the order asked for. */
  outputs: Tensor[]
  /** Time inside the engine, an integer ≥ 1. */
  computeUs: number
}

export type LoadedModel = {
  readonly digest: string
  readonly signature: Signature
  /**
   * `inputs` in the signature's order; `outputs` are names.
   * Throws `inference_failed` when the model refuses the input, and `EngineCrash` when its process
   * ended underneath. `worth`, from 0 to 1: the part of its time that counts as work of the engine, less than
   * all of it where more rows would have taken hardly longer.
   */
  run(inputs: readonly Tensor[], outputs: readonly string[], worth?: number): Promise<RunResult>
  /** Waits for runs in flight, then gives the memory back. */
  close(): Promise<void>
}

/** A model as its engine knows it. */
export type HostedModel = LoadedModel & {
  /** A run has not been answered yet. */
  readonly busy: boolean
  /** What it holds of the memory now, measured; 0 where the system does not tell. */
  residentBytes(): number
}

export type EngineHost = {
  pid: number
  lane: string
  models: string[]
  /** Inside one run, of the model that has the most. */
  threads: number
  /** How long it has worked on runs since it started, up to now. */
  workedMs: number
}

export type Engine = {
  /**
   * Throws `invalid_model` with the engine's words when it cannot load the graph, and `EngineCrash` when
   * its process ended underneath.
   */
  load(model: ModelFiles, options?: LoadOptions): Promise<HostedModel>
  /** The processes that run models now. */
  processes(): EngineHost[]
  /** What processes hold beside their models, measured. */
  overheadBytes(): number
  close(): Promise<void>
}

/**
 * The process of a model ended while it ran. The input may be to blame, or chance, or a mate in the
 * batch: running it alone and again tells which.
 */
export class EngineCrash extends AppError {
  constructor(internal: string) {
    super('unavailable', {
      public: 'The engine stopped while it worked on this; the same request may succeed.',
      internal,
      retryable: true,
      retryAfterS: 1,
    })
    this.name = 'EngineCrash'
  }
}
