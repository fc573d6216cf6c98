/**
 * The parts of ONNX's schema (onnx.proto of the onnx project) that are read and written here: field
 * numbers by message, and the element types of tensors. Nothing else of the format is known.
 */
import type { Datatype } from '#schemas/signature.ts'

export const MODEL = {
  irVersion: 1,
  producerName: 2,
  producerVersion: 3,
  graph: 7,
  opsetImport: 8,
  trainingInfo: 20,
  functions: 25,
} as const
export const OPSET = { domain: 1, version: 2 } as const
export const GRAPH = {
  node: 1,
  name: 2,
  initializer: 5,
  input: 11,
  output: 12,
  sparseInitializer: 15,
} as const
export const NODE = {
  input: 1,
  output: 2,
  name: 3,
  opType: 4,
  attribute: 5,
  domain: 7,
  overload: 8,
} as const
export const ATTRIBUTE = {
  name: 1,
  float: 2,
  int: 3,
  string: 4,
  tensor: 5,
  graph: 6,
  floats: 7,
  ints: 8,
  strings: 9,
  tensors: 10,
  graphs: 11,
  type: 20,
  sparseTensor: 22,
  sparseTensors: 23,
} as const
export const FUNCTION = {
  name: 1,
  input: 4,
  output: 5,
  node: 7,
  opsetImport: 9,
  domain: 10,
  attributeProto: 11,
  overload: 13,
} as const
export const TENSOR = {
  dims: 1,
  dataType: 2,
  segment: 3,
  floatData: 4,
  int32Data: 5,
  stringData: 6,
  int64Data: 7,
  name: 8,
  rawData: 9,
  doubleData: 10,
  uint64Data: 11,
  externalData: 13,
  dataLocation: 14,
} as const
export const SPARSE = { values: 1, indices: 2, dims: 3 } as const
export const ENTRY = { key: 1, value: 2 } as const
export const VALUE_INFO = { name: 1, type: 2 } as const
export const TYPE = { tensor: 1, sequence: 4, map: 5, opaque: 7, sparse: 8, optional: 9 } as const
export const TENSOR_TYPE = { elemType: 1, shape: 2 } as const
export const SHAPE = { dim: 1 } as const
export const DIM = { value: 1, param: 2 } as const

/** AttributeProto.AttributeType by the kind of value. */
export const ATTRIBUTE_TYPE = {
  float: 1,
  int: 2,
  string: 3,
  tensor: 4,
  graph: 5,
  floats: 6,
  ints: 7,
  strings: 8,
} as const

export type ElementType = {
  /** The name in ONNX's own documentation. */
  name: string
  /** Bits of one element in raw form; 0 for strings, which have no raw form. */
  bits: number
  /** How requests name it; null: no request can carry it. */
  datatype: Datatype | null
}

/** TensorProto.DataType. BFLOAT16 has a datatype, but the runtime's binding cannot pass it. */
export const ELEMENT_TYPES: Record<number, ElementType> = {
  1: { name: 'FLOAT', bits: 32, datatype: 'FP32' },
  2: { name: 'UINT8', bits: 8, datatype: 'UINT8' },
  3: { name: 'INT8', bits: 8, datatype: 'INT8' },
  4: { name: 'UINT16', bits: 16, datatype: 'UINT16' },
  5: { name: 'INT16', bits: 16, datatype: 'INT16' },
  6: { name: 'INT32', bits: 32, datatype: 'INT32' },
  7: { name: 'INT64', bits: 64, datatype: 'INT64' },
  8: { name: 'STRING', bits: 0, datatype: 'BYTES' },
  9: { name: 'BOOL', bits: 8, datatype: 'BOOL' },
  10: { name: 'FLOAT16', bits: 16, datatype: 'FP16' },
  11: { name: 'DOUBLE', bits: 64, datatype: 'FP64' },
  12: { name: 'UINT32', bits: 32, datatype: 'UINT32' },
  13: { name: 'UINT64', bits: 64, datatype: 'UINT64' },
  14: { name: 'COMPLEX64', bits: 64, datatype: null },
  15: { name: 'COMPLEX128', bits: 128, datatype: null },
  16: { name: 'BFLOAT16', bits: 16, datatype: 'BF16' },
  17: { name: 'FLOAT8E4M3FN', bits: 8, datatype: null },
  18: { name: 'FLOAT8E4M3FNUZ', bits: 8, datatype: null },
  19: { name: 'FLOAT8E5M2', bits: 8, datatype: null },
  20: { name: 'FLOAT8E5M2FNUZ', bits: 8, datatype: null },
  21: { name: 'UINT4', bits: 4, datatype: null },
  22: { name: 'INT4', bits: 4, datatype: null },
  23: { name: 'FLOAT4E2M1', bits: 4, datatype: null },
  24: { name: 'FLOAT8E8M0', bits: 8, datatype: null },
  25: { name: 'UINT2', bits: 2, datatype: null },
  26: { name: 'INT2', bits: 2, datatype: null },
}

/** The number of the element type that carries a datatype. */
export function elementTypeOf(datatype: Datatype): number {
  const found = Object.entries(ELEMENT_TYPES).find(([, type]) => type.datatype === datatype)
  return Number(found![0])
}
