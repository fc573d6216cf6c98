/**
 * Messages between a runner and an engine process. One form for all: a fixed head, then what the
 * tensors are, then their bytes, each on an 8-byte boundary so that the reader makes views of the
 * frame it received instead of copies. Both ends are one machine, so its byte order is the wire's.
 */
import { byteSize, bytesOf, type TensorData, viewOf } from '#core/inference/tensor.ts'
import { DATATYPES, type Datatype } from '#schemas/signature.ts'

/** Requests: load, run, unload. Replies: done, failed. */
export const KINDS = ['load', 'run', 'unload', 'done', 'failed'] as const
export type FrameTensor = {
  /** Place in the signature's inputs or outputs. */
  index: number
  datatype: Datatype
  shape: readonly number[]
  data: TensorData
}
export type Frame = {
  kind: (typeof KINDS)[number]
  /** Chosen by the sender of a request; its reply carries the same. */
  id: number
  model: number
  computeUs: number
  /** Outputs to compute, by their place in the signature. */
  wanted: readonly number[]
  tensors: readonly FrameTensor[]
  /** Settings of a load, or what went wrong. */
  text: string
}

/** A frame's bytes, written in parts when they are many so that large tensors are not copied. */
export const GATHER_BYTES_MAX = 65_536
export const HEAD_BYTES = 32
/**
 * Of one run's outputs together. They pass through the runner, whose memory is everybody's, and leave
 * it as JSON perhaps, which takes several times as much.
 */
export const OUTPUT_BYTES_MAX = 128 * 2 ** 20
const TENSOR_HEAD_BYTES = 16
const encoder = new TextEncoder()
const decoder = new TextDecoder()

export const EMPTY: Omit<Frame, 'kind' | 'id'> = Object.freeze({
  model: 0,
  computeUs: 0,
  wanted: [],
  tensors: [],
  text: '',
})

export function encodeFrame(frame: Frame): Uint8Array[] {
  const text = frame.text === '' ? NOTHING : encoder.encode(frame.text)
  const sizes = frame.tensors.map(tensor => byteSize(tensor.data))
  let metaBytes = HEAD_BYTES + padded(frame.wanted.length * 2) + padded(text.length)
  for (const tensor of frame.tensors) metaBytes += TENSOR_HEAD_BYTES + tensor.shape.length * 8
  let bytes = metaBytes
  for (const size of sizes) bytes += padded(size)
  const gather = bytes <= GATHER_BYTES_MAX
  const buffer = new ArrayBuffer(gather ? bytes : metaBytes)
  writeMeta(new DataView(buffer), frame, sizes, text, bytes)
  const first = new Uint8Array(buffer)
  const chunks: Uint8Array[] = [first]
  let at = metaBytes
  frame.tensors.forEach((tensor, i) => {
    const raw = rawBytes(tensor.data, sizes[i]!)
    if (gather) first.set(raw, at)
    else chunks.push(raw, NOTHING_PADDED.subarray(0, padded(raw.length) - raw.length))
    at += padded(raw.length)
  })
  return chunks
}

/** The size of the frame that starts at `at`; the first 4 bytes must be there. */
export function frameBytes(view: DataView, at: number): number {
  return view.getUint32(at, true)
}

/** The frame at `at` (a multiple of 8) of a buffer that holds all of it. Tensors are views of the buffer. */
export function decodeFrame(buffer: ArrayBufferLike, at: number): Frame {
  const view = new DataView(buffer)
  const wantedCount = view.getUint16(at + 24, true)
  const tensorCount = view.getUint16(at + 26, true)
  const textBytes = view.getUint32(at + 28, true)
  const wanted: number[] = []
  for (let i = 0; i < wantedCount; i++) wanted.push(view.getUint16(at + HEAD_BYTES + i * 2, true))
  let to = at + HEAD_BYTES + padded(wantedCount * 2)
  const text = textBytes ? decoder.decode(new Uint8Array(buffer, to, textBytes)) : ''
  to += padded(textBytes)
  const heads: { index: number; datatype: Datatype; bytes: number; shape: number[] }[] = []
  for (let i = 0; i < tensorCount; i++) {
    const rank = view.getUint8(to + 3)
    const shape: number[] = []
    for (let d = 0; d < rank; d++) shape.push(view.getFloat64(to + TENSOR_HEAD_BYTES + d * 8, true))
    heads.push({
      index: view.getUint16(to, true),
      datatype: DATATYPES[view.getUint8(to + 2)]!,
      bytes: view.getFloat64(to + 8, true),
      shape,
    })
    to += TENSOR_HEAD_BYTES + rank * 8
  }
  const tensors = heads.map(({ index, datatype, bytes, shape }): FrameTensor => {
    const data = readData(datatype, shape, buffer, to, bytes)
    to += padded(bytes)
    return { index, datatype, shape, data }
  })
  return {
    kind: KINDS[view.getUint8(at + 4)]!,
    id: view.getUint32(at + 8, true),
    model: view.getUint32(at + 12, true),
    computeUs: view.getFloat64(at + 16, true),
    wanted,
    tensors,
    text,
  }
}

function writeMeta(view: DataView, frame: Frame, sizes: number[], text: Uint8Array, bytes: number) {
  if (bytes > 0xffff_ffff) throw new RangeError(`a frame of ${bytes} bytes is past 4 GiB`)
  view.setUint32(0, bytes, true)
  view.setUint8(4, KINDS.indexOf(frame.kind))
  view.setUint32(8, frame.id, true)
  view.setUint32(12, frame.model, true)
  view.setFloat64(16, frame.computeUs, true)
  view.setUint16(24, frame.wanted.length, true)
  view.setUint16(26, frame.tensors.length, true)
  view.setUint32(28, text.length, true)
  frame.wanted.forEach((index, i) => {
    view.setUint16(HEAD_BYTES + i * 2, index, true)
  })
  let at = HEAD_BYTES + padded(frame.wanted.length * 2)
  new Uint8Array(view.buffer, at).set(text)
  at += padded(text.length)
  frame.tensors.forEach(({ index, datatype, shape }, i) => {
    view.setUint16(at, index, true)
    view.setUint8(at + 2, DATATYPES.indexOf(datatype))
    view.setUint8(at + 3, shape.length)
    view.setFloat64(at + 8, sizes[i]!, true)
    shape.forEach((dim, d) => {
      view.setFloat64(at + TENSOR_HEAD_BYTES + d * 8, dim, true)
    })
    at += TENSOR_HEAD_BYTES + shape.length * 8
  })
}

function rawBytes(data: TensorData, size: number): Uint8Array {
  if (!Array.isArray(data)) return bytesOf(data)
  const raw = new Uint8Array(size)
  const view = new DataView(raw.buffer)
  let at = 0
  for (const element of data) {
    view.setUint32(at, element.length, true)
    raw.set(element, at + 4)
    at += 4 + element.length
  }
  return raw
}

function readData(
  datatype: Datatype,
  shape: number[],
  buffer: ArrayBufferLike,
  at: number,
  bytes: number,
): TensorData {
  const count = shape.reduce((product, dim) => product * dim, 1)
  if (datatype !== 'BYTES') return viewOf(datatype, buffer, at, count)
  const view = new DataView(buffer, at, bytes)
  const elements: Uint8Array[] = []
  for (let i = 0, from = 0; i < count; i++) {
    const size = view.getUint32(from, true)
    elements.push(new Uint8Array(buffer, at + from + 4, size))
    from += 4 + size
  }
  return elements
}

function padded(bytes: number): number {
  return Math.ceil(bytes / 8) * 8
}

const NOTHING = new Uint8Array(0)
const NOTHING_PADDED = new Uint8Array(8)
