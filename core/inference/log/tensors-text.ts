/** Tensors as the inference log keeps them: JSON by name, from which every value can be had again to the bit. */
import { writeBinary } from '../oip-binary.ts'
import { toJson } from '../oip-json.ts'
import { byteSize, type Tensor } from '../tensor.ts'

/** `{"x":{"datatype":"FP32","shape":[1,4],"data":[…]}}` */
export function tensorsText(tensors: readonly Tensor[]): string {
  const each = tensors.map(tensor => {
    const { name, datatype, shape } = tensor
    return `${JSON.stringify(name)}:{"datatype":"${datatype}","shape":[${shape}],${valuesText(tensor)}}`
  })
  return `{${each.join(',')}}`
}

function valuesText(tensor: Tensor): string {
  const { data, datatype } = tensor
  // Beyond 2^53 a number would be another one to most readers.
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    const texts = Array.from(data, value =>
      Number.isSafeInteger(Number(value)) ? String(value) : `"${value}"`,
    )
    return `"data":[${texts}]`
  }
  if (datatype !== 'FP16' && datatype !== 'BF16') {
    try {
      return `"data":[${toJson(tensor)}]`
    } catch {
      // Text that is none.
    }
  }
  const bytes = new Uint8Array(byteSize(data))
  writeBinary(data, bytes, 0)
  let binary = ''
  for (const byte of bytes) binary += String.fromCharCode(byte)
  return `"base64":"${btoa(binary)}"`
}
