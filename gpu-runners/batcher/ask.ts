/** One caller's request as it waits in the batcher, and what decides with whom it may share a run. */
import { byteSize, bytesOf, type Tensor } from '#core/inference/tensor.ts'
import type { Signature } from '#schemas/signature.ts'
import type { TracedWait } from './traced.ts'

/** Whether the caller has left. */
export type Departure = { readonly aborted: boolean }

/** Who waits, and with how much. */
export type Waiting = {
  tenant: string
  /** Of the tenant, in proportion to others'. */
  weight: number
  /** Of urgency, from 1, the most urgent; as `levelOf` gives it. */
  level: number
  rows: number
  bytes: number
  queuedMs: number
  /** Milliseconds since 1970 after which the answer is of no use; Infinity: always of use. */
  deadlineMs: number
  signal: Departure | undefined
  /** Only of those that are traced. */
  trace?: TracedWait
}

export type Ask = Waiting & {
  inputs: readonly Tensor[]
  outputs: readonly string[]
  /** Asks of one key may be joined; null runs alone. */
  key: string | null
  /** Its place among its tenant's own: the time of arrival, put off by its level. */
  turnMs: number
  /** Order of arrival. */
  seq: number
  /** A part of a larger request: its outputs must have its rows, or the parts cannot be put together. */
  part: boolean
  resolve(answer: Answer): void
  reject(error: unknown): void
}

/** What one level is worth: a request goes before those of the next level that came less than this before it. */
export const LEVEL_MS = 1_000
/** Of a request that names none, and of whoever has the word in its body at most by chance. */
export const LEVEL_USUAL = 2
const LEVELS = 10

/** The level of a priority as Triton counts them: 1 goes first, 0 is that of a request that names none. */
export function levelOf(priority: number): number {
  return priority === 0 ? LEVEL_USUAL : Math.min(priority, LEVELS)
}

export type Answer = {
  /** In the order asked for. */
  outputs: Tensor[]
  /** This caller's share of the batch's time; the shares of a batch add up to what was measured. */
  computeUs: number
  rows: number
  /** Rows of the whole batch that it ran in; of the largest one when it was divided. */
  batchRows: number
}

/** A tensor without rows may be shared only if it is equal for all; larger ones are not compared. */
const SHARED_BYTES_MAX = 4_096

/** Rows of the request by the signature's batch axes; 1 where there is none. */
export function rowsOf(signature: Signature, inputs: readonly Tensor[]): number {
  for (let i = 0; i < inputs.length; i++) {
    const axis = signature.inputs[i]!.batch_axis
    if (axis !== null) return inputs[i]!.shape[axis]!
  }
  return 1
}

export function bytesOfAll(inputs: readonly Tensor[]): number {
  let bytes = 0
  for (const input of inputs) bytes += byteSize(input.data)
  return bytes
}

/**
 * Equal keys: same outputs, same dimensions but for the rows, and the same bytes where an input has no
 * rows. Datatypes are the signature's. Dimensions that the signature fixes are left out.
 */
export function keyer(signature: Signature) {
  const open = signature.inputs.map(({ shape, batch_axis }) =>
    shape.flatMap((dim, axis) => (dim === -1 && axis !== batch_axis ? [axis] : [])),
  )
  const rowless = signature.inputs.flatMap(({ batch_axis }, i) => (batch_axis === null ? [i] : []))
  return (inputs: readonly Tensor[], outputs: readonly string[]): string | null => {
    let key = outputs.length === 1 ? outputs[0]! : JSON.stringify(outputs)
    for (let i = 0; i < open.length; i++) {
      for (const axis of open[i]!) key += `\0${inputs[i]!.shape[axis]}`
    }
    for (const i of rowless) {
      const { data } = inputs[i]!
      if (byteSize(data) > SHARED_BYTES_MAX) return null
      for (const bytes of Array.isArray(data) ? data : [bytesOf(data)]) {
        key += `\0${bytes.length}:${String.fromCharCode(...bytes)}`
      }
    }
    return key
  }
}
