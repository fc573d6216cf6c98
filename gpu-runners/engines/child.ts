/**
 * An engine process: ONNX Runtime and nothing else. It holds no secret and no connection but the
 * socket to its runner (descriptor 3), reads a frame, runs it, answers, reads the next. Reading blocks
 * on purpose: a native run blocks its thread anyway, and without an event loop between a frame and its
 * run there is least to pay. When the runner goes, the read ends and so does the process.
 */
import { readSync, writeSync } from 'node:fs'
import { InferenceSession, listSupportedBackends, Tensor } from 'onnxruntime-node'
import { byteSize, type TensorData } from '#core/inference/tensor.ts'
import type { Datatype } from '#schemas/signature.ts'
import {
  decodeFrame,
  EMPTY,
  encodeFrame,
  type Frame,
  frameBytes,
  OUTPUT_BYTES_MAX,
} from './frames.ts'

type Model = { session: InferenceSession; inputs: string[]; outputs: string[] }
/** The text of a reply to a load frame. */
export type LoadedText = { grownBytes: number }
/** The text of a load frame. */
export type LoadText = {
  graphPath: string
  inputs: string[]
  outputs: string[]
  threads: number
  providers: readonly string[]
}

const SOCKET = 3
const BUFFER_BYTES = 262_144
const ORT_TYPES = {
  BOOL: 'bool',
  UINT8: 'uint8',
  UINT16: 'uint16',
  UINT32: 'uint32',
  UINT64: 'uint64',
  INT8: 'int8',
  INT16: 'int16',
  INT32: 'int32',
  INT64: 'int64',
  FP16: 'float16',
  FP32: 'float32',
  FP64: 'float64',
  BYTES: 'string',
} as const
const DATATYPE_OF = new Map(Object.entries(ORT_TYPES).map(([ours, theirs]) => [theirs, ours]))
const models = new Map<number, Model>()
const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

// The binding takes 16-bit floats as their bits, but its JavaScript side prefers this class, which the
// native side reads as empty. It looks at the first tensor, so here is early enough.
Reflect.deleteProperty(globalThis, 'Float16Array')

// Ctrl-C reaches the whole process group; the runner decides when its engines end.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => {})

let buffer = Buffer.from(new ArrayBuffer(BUFFER_BYTES))
let filled = 0
for (;;) {
  if (filled === buffer.length) grow(buffer.length * 2)
  const got = receive()
  if (got === 0) process.exit(0)
  filled += got
  const view = new DataView(buffer.buffer)
  let at = 0
  let next = 0
  while (filled - at >= 4) {
    next = frameBytes(view, at)
    if (filled - at < next) break
    send(await answer(decodeFrame(buffer.buffer, at)))
    at += next
    next = 0
  }
  buffer.copyWithin(0, at, filled)
  filled -= at
  if (next > buffer.length) grow(next)
  else if (filled === 0 && buffer.length > BUFFER_BYTES) grow(BUFFER_BYTES)
}

async function answer(frame: Frame): Promise<Frame> {
  const { id, model } = frame
  try {
    if (frame.kind === 'run') return await run(frame)
    if (frame.kind === 'load') return await load(frame)
    if (frame.kind === 'unload') await unload(model)
    return { ...EMPTY, kind: 'done', id }
  } catch (error) {
    return { ...EMPTY, kind: 'failed', id, text: String((error as Error)?.message ?? error) }
  }
}

async function load({ id, model, text }: Frame): Promise<Frame> {
  const before = process.memoryUsage.rss()
  models.set(model, await open(JSON.parse(text)))
  const loaded: LoadedText = { grownBytes: Math.max(0, process.memoryUsage.rss() - before) }
  return { ...EMPTY, kind: 'done', id, text: JSON.stringify(loaded) }
}

async function open({ graphPath, inputs, outputs, threads, providers }: LoadText): Promise<Model> {
  mustKnow(providers)
  const session = await InferenceSession.create(graphPath, {
    executionProviders: [...new Set([...providers, 'cpu'])],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    // Threads that wait for work would look for it without pause: five times the processor time of a short run.
    extra: { session: { intra_op: { allow_spinning: '0' } } },
    // Without the arena and the pattern an unloaded model's memory goes back to the system.
    enableCpuMemArena: false,
    enableMemPattern: false,
    logSeverityLevel: 4,
  })
  return { session, inputs, outputs }
}

/** The binding passes over a name that it does not know, and the model would run on the CPU unseen. */
function mustKnow(providers: readonly string[]): void {
  const known = listSupportedBackends().map(({ name }) => name as string)
  const unknown = providers.filter(name => name !== 'cpu' && !known.includes(name))
  if (unknown.length === 0) return
  throw new Error(
    `this build of ONNX Runtime has no provider ${unknown.join(', ')}; it has ${known.join(', ')}`,
  )
}

async function unload(id: number): Promise<void> {
  const model = models.get(id)
  models.delete(id)
  await model?.session.release()
}

async function run(frame: Frame): Promise<Frame> {
  const model = models.get(frame.model)
  if (!model) throw new Error(`model ${frame.model} is not loaded in this process`)
  const feeds: Record<string, Tensor> = {}
  for (const { index, datatype, shape, data } of frame.tensors) {
    feeds[model.inputs[index]!] = toOrt(datatype, data, shape)
  }
  const names = frame.wanted.map(index => model.outputs[index]!)
  const start = performance.now()
  const results = await model.session.run(feeds, names)
  const computeUs = Math.max(1, Math.round((performance.now() - start) * 1000))
  const tensors = frame.wanted.map((index, i) => ({ index, ...fromOrt(results[names[i]!]!) }))
  const bytes = tensors.reduce((sum, { data }) => sum + byteSize(data), 0)
  if (bytes > OUTPUT_BYTES_MAX) {
    throw new Error(`the outputs have ${bytes} bytes; ${OUTPUT_BYTES_MAX} is the most`)
  }
  return { ...EMPTY, kind: 'done', id: frame.id, computeUs, tensors }
}

function toOrt(datatype: Datatype, data: TensorData, shape: readonly number[]): Tensor {
  if (datatype === 'BF16') throw new Error('BF16 is not served by this engine')
  const values = Array.isArray(data) ? data.map(element => decoder.decode(element)) : data
  return new Tensor(ORT_TYPES[datatype], values as Float32Array, shape)
}

function fromOrt(tensor: Tensor): {
  datatype: Datatype
  shape: readonly number[]
  data: TensorData
} {
  const datatype = DATATYPE_OF.get(tensor.type as 'float32') as Datatype | undefined
  if (!datatype) throw new Error(`an output of type ${tensor.type} has no form in the protocol`)
  const given = tensor.data as ArrayBufferView | string[]
  if (Array.isArray(given)) {
    return { datatype, shape: tensor.dims, data: given.map(text => encoder.encode(text)) }
  }
  const data =
    datatype === 'FP16'
      ? new Uint16Array(given.buffer, given.byteOffset, given.byteLength / 2)
      : (given as TensorData)
  return { datatype, shape: tensor.dims, data }
}

function send(frame: Frame): void {
  for (const chunk of encodeFrame(frame)) {
    for (let at = 0; at < chunk.length; ) at += io(() => writeSync(SOCKET, chunk, at))
  }
}

function receive(): number {
  return io(() => readSync(SOCKET, buffer, filled, buffer.length - filled, null))
}

/** One system call, again when a signal interrupts it; a socket that is gone ends the process. */
function io(call: () => number): number {
  for (;;) {
    try {
      return call()
    } catch (error) {
      const { code } = error as { code?: string }
      if (code === 'EPIPE' || code === 'ECONNRESET') process.exit(0)
      if (code !== 'EINTR' && code !== 'EAGAIN') throw error
    }
  }
}

function grow(bytes: number): void {
  const grown = Buffer.from(new ArrayBuffer(bytes))
  buffer.copy(grown, 0, 0, filled)
  buffer = grown
}
