/** What a batcher is proven on: a model, and a naive second opinion on what it answers. */
import type { Tensor } from '#core/inference/tensor.ts'
import type { LoadedModel } from '#gpu-runners/engines/engine.ts'
import type { Signature } from '#schemas/signature.ts'

/** Faults that a row can have: the model refuses it, or it ends the engine's process. */
export const POISON = 1
export const CRASH = 2

/** `undeclared`: published as invariant, but its outputs do not have the rows that went in. */
export type Kind = 'invariant' | 'shape_sensitive' | 'unbatched' | 'undeclared'

export type Ask = {
  do: 'ask'
  tenant: string
  weight: number
  priority: number
  rows: number
  width: number
  /** The value of the input without rows. */
  k: number
  /** Which of the signature's outputs, by a bit each; 0: all of them. */
  outputs: number
  /** Of one row, the place of which is `faultAt` modulo the rows. */
  fault: 0 | typeof POISON | typeof CRASH
  faultAt: number
  /** Milliseconds from then on. */
  deadlineMs: number | null
  /** Moments (turns, beginnings and ends of runs) after which the caller has left. */
  leavesAfter: number | null
}

export type Row = { id: number; row: number }

export type Subject = {
  kind: Kind
  signature: Signature
  /** Tensors in which every row says whose it is. */
  inputsOf(ask: Ask, id: number): Tensor[]
  /** What the request gets when it is alone in the world. */
  expected(inputs: readonly Tensor[], names: readonly string[]): Tensor[]
  /** The rows of a run, in order. */
  whose(inputs: readonly Tensor[]): Row[]
}

export type Loaded = Subject & { model: LoadedModel }

export function named(tensors: readonly Tensor[], name: string): Tensor {
  return tensors.find(tensor => tensor.name === name)!
}

export function namesOf({ signature }: Subject, ask: Ask): string[] {
  const all = signature.outputs.map(output => output.name)
  const chosen = all.filter((_, i) => ask.outputs & (1 << i))
  return chosen.length === 0 ? all : chosen
}

/** To the bit, with datatype and shape. */
export function isSame(a: readonly Tensor[], b: readonly Tensor[]): boolean {
  return (
    a.length === b.length &&
    a.every((tensor, i) => {
      const other = b[i]!
      return (
        tensor.name === other.name &&
        tensor.datatype === other.datatype &&
        String(tensor.shape) === String(other.shape) &&
        tensor.data.constructor === other.data.constructor &&
        bitsOf(tensor).equals(bitsOf(other))
      )
    })
  )
}

function bitsOf({ data }: Tensor): Buffer {
  if (!Array.isArray(data)) return Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  return Buffer.from(
    data.map(element => `${element.length}:${Buffer.from(element).toString('hex')}`).join(),
  )
}
