/**
 * Judges an uploaded model: a sandboxed child inspects, loads and tries it, and this side turns however
 * that ended into a verdict. A model is blamed for what it did; a child killed by somebody else, or a
 * full disk, is no verdict and may be tried again.
 */
import type { Log } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { isInvalidModel } from '#core/models/onnx/inspect.ts'
import type { EmbeddingManifest } from '#schemas/tables/models.ts'
import {
  besideGraph,
  inBundle,
  layOut,
  type ModelFile,
  removeAbandoned,
  writeTask,
} from './bundle.ts'
import { limitsFor, type ValidationLimits } from './limits.ts'
import { type Ending, runChild } from './sandbox.ts'
import { describeShapes } from './shapes.ts'
import type { Report, Stage, Task, Verdict } from './verdict.ts'

export type { ModelFile, ValidationLimits, Verdict }
export type ValidationInput = {
  files: ModelFile[]
  /** Path of the main graph among the files. */
  graph: string
  batchAxes?: Record<string, number | null>
  /** Full shapes to try, by input. */
  trialDims?: Record<string, number[]>
  embedding?: EmbeddingManifest
  limits?: Partial<ValidationLimits>
}

const CRASHES = new Set<string | null>([
  'SIGSEGV',
  'SIGABRT',
  'SIGBUS',
  'SIGFPE',
  'SIGILL',
  'SIGTRAP',
  'SIGSYS',
])

/**
 * Throws `canceled` when the signal fires, and `unavailable` or `internal` when the validator itself
 * failed; whatever is wrong with the model is a verdict.
 */
export async function validateModel(
  deps: { log: Log },
  input: ValidationInput,
  signal?: AbortSignal,
): Promise<Verdict> {
  const startedMs = performance.now()
  const bytes = input.files.reduce((sum, file) => sum + file.size, 0)
  const limits = limitsFor(bytes, input.limits)
  const verdict = await judge(input, limits, signal)
  deps.log.info('model_validated', {
    graph: input.graph,
    bytes,
    ok: verdict.ok,
    ...(verdict.ok ? { batching: verdict.signature.batching } : { detail: verdict.detail }),
    duration_ms: Math.round(performance.now() - startedMs),
  })
  return verdict
}

async function judge(
  input: ValidationInput,
  limits: ValidationLimits,
  signal?: AbortSignal,
): Promise<Verdict> {
  await removeAbandoned()
  try {
    const bundle = await layOut(input.files, input.graph)
    try {
      const task: Task = {
        graph: bundle.graph,
        bundledFiles: besideGraph(input.files, input.graph),
        batchAxes: input.batchAxes ?? {},
        trialDims: input.trialDims ?? {},
        embedding: input.embedding ? inBundle(input.embedding) : null,
        limits,
      }
      await writeTask(bundle, task)
      return verdictOf(await runChild(bundle.folder, limits, signal), limits)
    } finally {
      await bundle.remove()
    }
  } catch (error) {
    if (!isInvalidModel(error)) throw error
    return { ok: false, code: 'invalid_model', detail: error.public }
  }
}

function verdictOf(ending: Ending, limits: ValidationLimits): Verdict {
  const reports = ending.lines.map(parseLine).filter(line => line !== null)
  const last = reports.at(-1)
  if (last && 'verdict' in last) return last.verdict
  if (ending.killedFor === 'abort') throw new AppError('canceled')
  const detail = last && blame(ending, limits, during(last))
  if (detail) return { ok: false, code: 'invalid_model', detail }
  const internal = `validator ended with ${ending.signal ?? ending.code}: ${ending.stderr.slice(-2000)}`
  // Killed by somebody else, or before it had opened the file: the next attempt may be luckier.
  if (ending.signal) throw new AppError('unavailable', { internal, retryable: true })
  throw new AppError('internal', { internal })
}

/** What the model did to its child; null when it was not the model. */
function blame(ending: Ending, limits: ValidationLimits, when: string): string | null {
  const isTime = ending.killedFor === 'time' || ending.signal === 'SIGXCPU'
  if (isTime) return `The model took more than ${Math.round(limits.wallMs / 1000)} s ${when}.`
  const isMemory = ending.killedFor === 'memory' || /out of memory|bad_alloc/i.test(ending.stderr)
  if (isMemory) {
    return `The model used more than the ${Math.floor(limits.memoryBytes / 2 ** 20)} MiB of memory that it may use ${when}.`
  }
  if (CRASHES.has(ending.signal)) return `The model crashed the runtime (${ending.signal}) ${when}.`
  return null
}

function during(last: Stage): string {
  if (last.stage === 'load') return 'while it was loaded'
  if (last.stage === 'texts') return 'while texts were cut into tokens and embedded'
  if (last.stage !== 'trial') return 'while its graph was read'
  return `in its trial run with ${describeShapes(last.shapes)}`
}

/** The child may have been killed in the middle of a line. */
function parseLine(line: string): Report | null {
  try {
    return JSON.parse(line) as Report
  } catch {
    return null
  }
}
