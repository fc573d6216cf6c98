/** What a model takes and gives: tensors, their datatypes, their shapes and where their batch axis is. */

/** Datatypes of the Open Inference Protocol, and BF16 as Triton adds it. */
export const DATATYPES = [
  'BOOL',
  'UINT8',
  'UINT16',
  'UINT32',
  'UINT64',
  'INT8',
  'INT16',
  'INT32',
  'INT64',
  'FP16',
  'BF16',
  'FP32',
  'FP64',
  'BYTES',
] as const
export type Datatype = (typeof DATATYPES)[number]

export type TensorSpec = {
  name: string
  datatype: Datatype
  /** -1 is a dimension that a request chooses. */
  shape: number[]
  /** The axis on which rows of several callers are joined; null: the tensor has no row axis. */
  batch_axis: number | null
}

/**
 * How rows of several callers may share one run, found by trial at publish:
 * `invariant` batched answers are bit-equal to lone ones; `shape_sensitive` equal within a tolerance;
 * `unbatched` rows influence each other, or there is no batch axis: each request runs alone.
 */
export type Batching = 'invariant' | 'shape_sensitive' | 'unbatched'

/** Of a model that embeds texts, as its publishing found it. */
export type EmbeddingSignature = {
  /** The output that is pooled. */
  output: string
  /** Elements of a vector. */
  width: number
  /** A padded row gives what it gives without padding, within the tolerance of `shape_sensitive`. */
  is_masked: boolean
  /** Token ids are below it. */
  vocabulary: number
}

export type Signature = {
  inputs: TensorSpec[]
  outputs: TensorSpec[]
  batching: Batching
  embedding?: EmbeddingSignature
}
