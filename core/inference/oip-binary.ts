/**
 * Tensor values as raw bytes: little-endian, row-major, without padding; BOOL is one byte, an element
 * of BYTES is its length in 4 bytes and then itself (Triton's extension `binary_tensor_data`).
 */
import type { TensorSpec } from '#schemas/signature.ts'
import { invalid } from './invalid.ts'
import { bytesOf, ELEMENT_BYTES, type TensorData, viewOf } from './tensor.ts'

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The values in `size` bytes at `at`. A view of the body where its alignment allows it, else a copy. */
export function fromBinary(
  spec: TensorSpec,
  shape: number[],
  count: number,
  body: Uint8Array,
  at: number,
  size: number,
): TensorData {
  if (size > body.length - at) {
    invalid(
      `Input "${spec.name}": the body ends early, expecting ${size - (body.length - at)} additional bytes.`,
    )
  }
  if (spec.datatype === 'BYTES')
    return byteStrings(spec, shape, count, body.subarray(at, at + size))
  const width = ELEMENT_BYTES[spec.datatype]
  if (size !== count * width) {
    invalid(
      `Input "${spec.name}" has ${size} bytes; shape [${shape}] of ${spec.datatype} takes ${count * width}.`,
    )
  }
  const start = body.byteOffset + at
  const data =
    start % width === 0
      ? viewOf(spec.datatype, body.buffer, start, count)
      : viewOf(spec.datatype, copyOf(body, at, size), 0, count)
  if (spec.datatype === 'BOOL') checkBooleans(spec, data as Uint8Array)
  return data
}

/** Not by `slice`: that of a Node Buffer is a view, whose buffer holds the bytes of other callers too. */
function copyOf(body: Uint8Array, at: number, size: number): ArrayBuffer {
  const copy = new Uint8Array(size)
  copy.set(body.subarray(at, at + size))
  return copy.buffer
}

/** Writes the values at `at`; returns where they end. */
export function writeBinary(data: TensorData, body: Uint8Array, at: number): number {
  if (!Array.isArray(data)) {
    body.set(bytesOf(data), at)
    return at + data.byteLength
  }
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength)
  let to = at
  for (const element of data) {
    view.setUint32(to, element.length, true)
    body.set(element, to + 4)
    to += 4 + element.length
  }
  return to
}

/** One element of BYTES that was sent without its length; refuses what is no text. */
export function text(spec: TensorSpec, element: Uint8Array): Uint8Array {
  try {
    utf8.decode(element)
  } catch {
    invalid(`Input "${spec.name}" (BYTES): an element is not UTF-8; models take text.`)
  }
  return element
}

function byteStrings(spec: TensorSpec, shape: number[], count: number, bytes: Uint8Array) {
  // Each element takes 4 bytes at least: an absurd count is refused before anything is allocated.
  if (count * 4 > bytes.length) {
    invalid(
      `Input "${spec.name}" has ${bytes.length} bytes; ${count} elements of BYTES for shape [${shape}] take at least ${count * 4}.`,
    )
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const elements: Uint8Array[] = []
  let at = 0
  for (let i = 0; i < count; i++) {
    const size = bytes.length - at < 4 ? -1 : view.getUint32(at, true)
    if (size < 0 || size > bytes.length - at - 4) {
      invalid(`Input "${spec.name}" (BYTES): element ${i} reaches past the end of its data.`)
    }
    elements.push(text(spec, bytes.subarray(at + 4, at + 4 + size)))
    at += 4 + size
  }
  if (at !== bytes.length) {
    invalid(
      `Input "${spec.name}": ${bytes.length - at} bytes follow after the ${count} elements of shape [${shape}].`,
    )
  }
  return elements
}

function checkBooleans(spec: TensorSpec, data: Uint8Array): void {
  for (let i = 0; i < data.length; i++) {
    if (data[i]! > 1)
      invalid(`Input "${spec.name}" (BOOL): byte ${i} is ${data[i]}; it must be 0 or 1.`)
  }
}
