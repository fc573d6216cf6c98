/** What the inspection refuses, and that each refusal says what is wrong. */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { AppError } from '#core/error.ts'
import { Graph, model, type Tensor, tensor } from '#core/models/onnx/build.ts'
import { inspect } from '#core/models/onnx/inspect.ts'
import { INSPECTION_LIMITS } from '#core/models/onnx/inspection/limits.ts'
import { OPSET_VERSION_MAX } from '#core/models/onnx/inspection/opsets.ts'
import { bytesSource, WireWriter } from '#core/models/onnx/wire.ts'
import * as models from '#tests/models.ts'

type Files = { path: string; size: number }[]

function look(bytes: Uint8Array, files: Files = [], limits = INSPECTION_LIMITS) {
  return inspect(bytesSource(bytes), limits, files)
}

function refusal(bytes: Uint8Array, files: Files = [], limits = INSPECTION_LIMITS): string {
  try {
    look(bytes, files, limits)
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'invalid_model') throw error
    return error.public
  }
  throw new Error('The model was accepted.')
}

const text = (content: string) => new TextEncoder().encode(content)
const latin = (content: string) => Uint8Array.from(content, char => char.charCodeAt(0))
const padded = (content: string) => latin(content.padEnd(600, '\0'))

describe('a file that is no ONNX model is told what it looks like', () => {
  test.each([
    ['nothing', new Uint8Array(0), 'The file is empty.'],
    ['PNG', padded('\x89PNG\r\n'), 'a PNG image'],
    ['PyTorch archive', padded('PK\x03\x04'), 'a ZIP archive (a PyTorch .pt'],
    ['pickle', padded('\x80\x04\x95'), 'a Python pickle'],
    ['Keras', padded('\x89HDF\r\n'), 'an HDF5 file'],
    ['safetensors', padded('\x40\0\0\0\0\0\0\0{"weight":'), 'a safetensors file'],
    ['GGUF', padded('GGUF\x03'), 'a GGUF model'],
    ['TensorFlow Lite', padded('\x1c\0\0\0TFL3'), 'a TensorFlow Lite model'],
    ['gzip', padded('\x1f\x8b\x08'), 'a gzip archive'],
    ['ORT format', padded('\x1c\0\0\0ORTM'), '.ort format'],
    ['JSON', text('{"graph": {"node": []}}'), 'JSON'],
    ['HTML', text('<!DOCTYPE html><html><body>404</body></html>'), 'an HTML page'],
    ['LFS pointer', text('version https://git-lfs.github.com/spec/v1\noid'), 'a Git LFS pointer'],
    ['CSV', text('a,b,c\n1,2,3\n'), 'plain text'],
    ['GraphDef', padded('\x0a\x1f\x0a\x05input\x12\x0bPlaceholder'), 'a TensorFlow GraphDef'],
    ['SavedModel', savedModel(), 'a TensorFlow SavedModel'],
  ])('%s', (_, bytes, expected) => {
    expect(refusal(bytes)).toContain(expected)
  })
})

test('every truncation of a model is refused, and says so where the end is cut off', () => {
  const whole = models.mlp(1, [4, 8, 2])
  for (let length = 1; length < whole.length; length++) refusal(whole.subarray(0, length))
  expect(refusal(whole.subarray(0, whole.length - 10))).toMatch(
    /^The file is truncated: .*whole file/,
  )
})

describe('versions beyond the runtime are refused with the version that would be right', () => {
  test.each([
    [{ opsets: { '': 27 } }, "opset 27 of 'ai.onnx'; this runtime supports at most 26"],
    [
      { opsets: { '': 17, 'ai.onnx.ml': 6 } },
      "opset 6 of 'ai.onnx.ml'; this runtime supports at most 5",
    ],
    [{ opsets: { '': 0 } }, 'versions begin at 1'],
    [{ opsets: {} }, 'imports no operator set'],
    [{ irVersion: 14 }, 'IR version 14; this runtime takes at most 13'],
    [{ irVersion: 0 }, 'states no IR version'],
  ])('%j', (options, expected) => {
    expect(refusal(model(relu(), options))).toContain(expected)
  })

  test('the newest supported ones are taken', () => {
    expect(look(model(relu(), { opsets: OPSET_VERSION_MAX, irVersion: 13 })).nodes).toBe(1)
  })
})

describe('a graph that could give no answer is refused', () => {
  test.each([
    ['no graph', new WireWriter().varint(1, 8).finish(), 'holds no graph'],
    ['no outputs', model(new Graph('empty')), 'has no outputs'],
    ['sequence', models.sequenceInput(), "Input 'x' is a sequence; only tensors"],
    ['BFLOAT16', models.elementTypeInput(16), "'x' is of element type BFLOAT16"],
    ['COMPLEX64', models.elementTypeInput(14), "'x' is of element type COMPLEX64"],
    ['unknown type', models.elementTypeInput(99), 'element type 99, which ONNX does not define'],
    ['no shape', model(shapeless()), "Input 'x' declares no shape"],
    ['two inputs of one name', model(twins()), "Two inputs of the graph are named 'x'"],
    ['two graphs', twoGraphs(), 'holds two graphs'],
  ])('%s', (_, bytes, expected) => {
    expect(refusal(bytes)).toContain(expected)
  })
})

describe('a bomb is refused before anything is allocated', () => {
  const big = [1_000_000, 1_000_000]
  test.each([
    ['nested too deeply', models.nested(40), 'nested too deeply'],
    ['functions that double', models.functionBomb(40), 'more than 100000 nodes once its functions'],
    [
      'ConstantOfShape',
      computed('ConstantOfShape', ['size']),
      'makes a tensor of shape [1000000, 1000000]',
    ],
    ['Expand', computed('Expand', ['x', 'size']), 'makes a tensor of shape [1000000, 1000000]'],
    ['a huge output', model(relu(big)), "Output 'y' declares the shape [1000000, 1000000]"],
    [
      'dims beyond 64 bits',
      weights({ dims: [2 ** 53, 2 ** 53, 2 ** 53], raw: new Uint8Array(8) }),
      'bytes, and holds 8',
    ],
    ['a dimension no machine can hold', model(relu([2 ** 62])), 'which no machine can hold'],
  ])('%s', (_, bytes, expected) => {
    expect(refusal(bytes)).toContain(expected)
  })

  test('a Constant in the place of an initializer is seen through', () => {
    const bytes = models.unary(['batch', 4], ['n'], graph => {
      const size = graph.node('Constant', [], { value_ints: { ints: [70_000, 70_000] } })
      graph.node('ConstantOfShape', [size], {}, { outputs: ['y'], name: 'boom' })
    })
    expect(refusal(bytes)).toMatch(/^Node 'boom' \('ConstantOfShape'\) makes a tensor of shape/)
  })

  test('too many nodes or fields end the walk', () => {
    const bytes = models.mlp(1, [4, 4, 4, 4, 4])
    expect(refusal(bytes, [], { ...INSPECTION_LIMITS, nodesMax: 3 })).toContain('more than 3 nodes')
    expect(refusal(bytes, [], { ...INSPECTION_LIMITS, fieldsMax: 20 })).toContain('more fields')
  })

  test('functions that call themselves are refused', () => {
    const body = new Graph('f')
    body.node('f', ['a'], {}, { domain: 'local', outputs: ['b'] })
    const local = { domain: 'local', name: 'f', inputs: ['a'], outputs: ['b'], body }
    const graph = new Graph('loop')
    graph.input('x', 'FP32', ['batch', 4])
    graph.node('f', ['x'], {}, { domain: 'local', outputs: ['y'] })
    graph.output('y', 'FP32', ['batch', 4])
    expect(refusal(model(graph, { functions: [local] }))).toContain(
      "'local::f' of the model calls itself",
    )
  })
})

describe('weights must be what their dimensions say', () => {
  test.each([
    [
      'raw',
      { dims: [4, 3], raw: new Uint8Array(40) },
      "'w' declares [4, 3] FLOAT, which is 48 bytes, and holds 40",
    ],
    ['none', { dims: [4, 3] }, "'w' declares [4, 3] FLOAT, which is 12 values, and holds 0"],
    ['negative', { dims: [-4, 3], raw: new Uint8Array(4) }, 'negative dimension -4'],
  ])('%s', (_, value, expected) => {
    expect(refusal(weights(value))).toContain(expected)
  })
})

describe('external data names only bytes of files in the manifest', () => {
  const files = [{ path: 'w.bin', size: 16 }]
  test.each([
    [{ location: '/etc/passwd' }, 'absolute path'],
    [{ location: 'C:\\weights.bin' }, 'absolute path'],
    [{ location: '../w.bin' }, 'leaves the folder of the model'],
    [{ location: 'a/../../w.bin' }, 'leaves the folder of the model'],
    [{ location: '..\\w.bin' }, 'leaves the folder of the model'],
    [{ location: 'other.bin' }, "keeps its data in 'other.bin', which is not among the files"],
    [{ location: '*/_ORT_MEM_ADDR_/*', offset: '4096', length: '16' }, 'at a memory address'],
    [{ location: 'w.bin', offset: '8' }, "takes bytes 8 to 24 of 'w.bin', which is 16 bytes long"],
    [{ location: 'w.bin', offset: '-8' }, "whose offset is '-8'"],
    [{ location: 'w.bin', length: '8' }, 'needs 16 bytes of external data and its length says 8'],
    [{ location: 'w.bin', prepacked_0: 'w|0;16' }, "with the key 'prepacked_0'"],
    [{ offset: '0' }, 'without a location'],
  ])('%j', (external, expected) => {
    const detail = refusal(models.externalWeight(external as Record<string, string>), files)
    expect(detail).toContain("Initializer 'w'")
    expect(detail).toContain(expected)
  })

  test('a bundled file is taken and listed', () => {
    const external = { location: './w.bin', offset: '0', length: '16' }
    expect(look(models.externalWeight(external), files).externalFiles).toEqual(['w.bin'])
  })
})

test('a custom operator is named with its domain and its node', () => {
  const bytes = models.unary(['batch', 4], ['batch', 4], graph => {
    graph.node('Magic', ['x'], {}, { domain: 'acme.ops', outputs: ['y'], name: 'trick' })
  })
  expect(refusal(bytes)).toMatch(
    /^Node 'trick' \('Magic'\) is a custom operator of the domain 'acme.ops'/,
  )
})

test('names out of a file are shown short and without control characters', () => {
  const bytes = models.unary(['batch', 4], ['batch', 4], graph => {
    graph.node('Magic', ['x'], {}, { domain: `a\u0000\u001b[31m\u202e${'b'.repeat(500)}` })
  })
  const detail = refusal(bytes)
  expect(detail).not.toMatch(/\p{C}/u)
  expect(detail.length).toBeLessThan(400)
})

test('weights that are listed among the inputs are no inputs', () => {
  const graph = new Graph('old')
  graph.input('x', 'FP32', ['batch', 2])
  graph.input('w', 'FP32', [2, 2])
  graph.initializer('w', tensor('FP32', [2, 2], [1, 0, 0, 1]))
  graph.node('MatMul', ['x', 'w'], {}, { outputs: ['y'] })
  graph.output('y', 'FP32', ['batch', 2])
  const found = look(model(graph, { irVersion: 3 }))
  expect(found.inputs.map(input => input.name)).toEqual(['x'])
  expect(found).toMatchObject({ nodes: 1, parameters: 4, parameterBytes: 16 })
})

test('two gigabytes of weights are stepped over, not read', () => {
  const raw = 2 ** 31 - 4096
  const { head, tail } = around(raw)
  let bytesRead = 0
  const size = head.length + raw + tail.length
  const source = {
    size,
    read(offset: number, length: number) {
      const end = Math.min(offset + length, size)
      bytesRead += end - offset
      return Uint8Array.from({ length: end - offset }, (_, i) => {
        const at = offset + i
        if (at < head.length) return head[at]!
        return at < head.length + raw ? 0 : tail[at - head.length - raw]!
      })
    },
  }
  expect(inspect(source).parameterBytes).toBe(raw)
  expect(bytesRead).toBeLessThan(2 ** 20)
})

test('the examples’ model is what it says', () => {
  const found = look(readFileSync('examples/iris/iris.onnx'))
  expect(found.inputs).toEqual([{ name: 'measurements', datatype: 'FP32', dims: ['batch', 4] }])
  expect(found.operators).toEqual({ ArgMax: 1, Gather: 1, Gemm: 1, Softmax: 1 })
})

function relu(output: (number | string)[] = ['batch', 4]): Graph {
  const graph = new Graph('relu')
  graph.input('x', 'FP32', ['batch', 4])
  graph.node('Relu', ['x'], {}, { outputs: ['y'] })
  graph.output('y', 'FP32', output)
  return graph
}

function shapeless(): Graph {
  const graph = new Graph('shapeless')
  graph.input('x', 'FP32', null)
  graph.node('Relu', ['x'], {}, { outputs: ['y'] })
  graph.output('y', 'FP32', null)
  return graph
}

function twins(): Graph {
  const graph = relu()
  graph.input('x', 'FP32', ['batch', 4])
  return graph
}

function twoGraphs(): Uint8Array {
  const once = model(relu())
  return Uint8Array.from([...once, ...new WireWriter().message(7, relu().write()).finish()])
}

function weights(value: Partial<Tensor> & { dims: number[] }): Uint8Array {
  return models.unary(['batch', 4], ['batch', 3], graph => {
    graph.initializer('w', { datatype: 'FP32', ...value })
    graph.node('MatMul', ['x', 'w'], {}, { outputs: ['y'] })
  })
}

function computed(op: string, inputs: string[]): Uint8Array {
  return models.unary(['batch', 4], ['n'], graph => {
    graph.initializer('size', tensor('INT64', [2], [1_000_000, 1_000_000]))
    graph.node(op, inputs, {}, { outputs: ['y'] })
  })
}

function savedModel(): Uint8Array {
  const metaGraph = new WireWriter().bytes(
    1,
    Uint8Array.from([0x2a, 0x05, 0x73, 0x65, 0x72, 0x76, 0x65]),
  )
  return new WireWriter().varint(1, 1).message(2, metaGraph.varint(3, 1)).finish()
}

/** The bytes before and after a weight of so many bytes. */
function around(raw: number): { head: Uint8Array; tail: Uint8Array } {
  const key = (field: number, length: number) => {
    const whole = new WireWriter().varint(field, length).finish()
    const start = Uint8Array.from([...whole])
    start[0] = (field << 3) | 2
    return start
  }
  const join = (...parts: Uint8Array[]) => Uint8Array.from(parts.flatMap(part => [...part]))
  const fields = new WireWriter()
    .varint(1, raw / 4)
    .varint(2, 1)
    .text(8, 'w')
    .finish()
  const data = join(fields, key(9, raw))
  const weight = join(key(5, data.length + raw), data)
  const io = relu().write().finish()
  const graph = key(7, weight.length + raw + io.length)
  const opset = new WireWriter().message(8, new WireWriter().varint(2, 17)).finish()
  return {
    head: join(new WireWriter().varint(1, 8).finish(), graph, weight),
    tail: join(io, opset),
  }
}
