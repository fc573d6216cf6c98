/** What a stranger's model may use while it is judged. */
import { availableParallelism } from 'node:os'
import { INSPECTION_LIMITS, type InspectionLimits } from '#core/models/onnx/inspection/limits.ts'

export type ValidationLimits = InspectionLimits & {
  /** Wall time of everything, from start to verdict. */
  wallMs: number
  /** Resident memory of the child. */
  memoryBytes: number
  /** Of the wall time, what goes into finding out how the model runs best. */
  tuneMs: number
  /** Threads to try: what the machine has. */
  threadsMax: number
}

const MIB = 2 ** 20
const TUNE_MS = 3_000
const THREADS_MAX = 16
const WALL_MS = 60_000
/** A model is read at least this fast from any disk worth having. */
const READ_BYTES_PER_MS = 50_000
const MEMORY_BYTES_MIN = 1024 * MIB
/** The file, the weights, a copy that the runtime has rearranged, and room to compute. */
const MEMORY_PER_MODEL_BYTE = 4

export function limitsFor(
  modelBytes: number,
  given: Partial<ValidationLimits> = {},
): ValidationLimits {
  return {
    ...INSPECTION_LIMITS,
    tuneMs: TUNE_MS,
    threadsMax: Math.min(THREADS_MAX, availableParallelism()),
    wallMs: WALL_MS + Math.ceil(modelBytes / READ_BYTES_PER_MS),
    memoryBytes: Math.max(MEMORY_BYTES_MIN, modelBytes * MEMORY_PER_MODEL_BYTE),
    ...given,
  }
}
