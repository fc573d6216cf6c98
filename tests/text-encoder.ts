/** A text encoder in the form of BERT (Devlin et al. 2018), made in code with weights from a seed. */
import { type Attributes, Graph, model, tensor } from '#core/models/onnx/build.ts'
import { uniform } from './models.ts'

export type TextEncoder = {
  seed: number
  layers: number
  width: number
  heads: number
  /** Tokens that it knows: `input_ids` are below. */
  vocabulary: number
  /** The most tokens of a text. */
  positions: number
  /** Without it only the tokens' own states come out, and whoever asks has to pool them. */
  pooled?: boolean
}

const EPSILON = 1e-12

/**
 * `input_ids` and `attention_mask`, INT64 [batch, tokens] → `embedding` FP32 [batch, width], the mean over what
 * the mask lets through, of length one; and `last_hidden_state` FP32 [batch, tokens, width]. What the mask hides
 * changes neither, but in the last bits.
 */
export function textEncoder(o: TextEncoder): Uint8Array {
  const net = new Net(o)
  const graph = net.graph
  for (const name of ['input_ids', 'attention_mask']) {
    graph.input(name, 'INT64', ['batch', 'tokens'])
  }
  const mask = net.node('Cast', ['attention_mask'], { to: { int: 1 } })
  // 0 where a token may be looked at, and far below every score where not.
  const hidden = net.node('Sub', [net.constant(1), mask])
  const bias = net.node('Unsqueeze', [
    net.node('Mul', [hidden, net.constant(-1e9)]),
    net.axes([1, 2]),
  ])
  let states = net.normalised(embedded(net))
  for (let layer = 0; layer < o.layers; layer++) {
    states = net.normalised(net.node('Add', [states, attention(net, states, bias)]))
    states = net.normalised(net.node('Add', [states, feedForward(net, states)]))
  }
  net.node('Identity', [states], {}, ['last_hidden_state'])
  graph.output('last_hidden_state', 'FP32', ['batch', 'tokens', o.width])
  if (o.pooled ?? true) {
    pool(net, states, mask)
    graph.output('embedding', 'FP32', ['batch', o.width])
  }
  return model(graph)
}

class Net {
  readonly graph = new Graph('text_encoder')
  readonly o: TextEncoder
  readonly #random: () => number
  #named = 0

  constructor(o: TextEncoder) {
    this.o = o
    this.#random = uniform(o.seed)
  }

  node(op: string, inputs: string[], attributes: Attributes = {}, outputs?: string[]): string {
    return this.graph.node(op, inputs, attributes, { outputs })
  }

  constant(value: number): string {
    return this.graph.initializer(this.#name(), tensor('FP32', [], [value]))
  }

  axes(values: number[]): string {
    return this.graph.initializer(this.#name(), tensor('INT64', [values.length], values))
  }

  /** Weights around zero, so scaled that a state keeps its size on the way through. */
  weights(from: number, to: number): string {
    const scale = Math.sqrt(3 / from)
    const values = new Float32Array(from * to)
    for (let i = 0; i < values.length; i++) values[i] = (this.#random() * 2 - 1) * scale
    return this.graph.initializer(this.#name(), tensor('FP32', [from, to], values))
  }

  dense(x: string, from: number, to: number): string {
    const bias = Array.from({ length: to }, () => (this.#random() * 2 - 1) / 10)
    const b = this.graph.initializer(this.#name(), tensor('FP32', [to], bias))
    return this.node('Add', [this.node('MatMul', [x, this.weights(from, to)]), b])
  }

  normalised(x: string): string {
    const { width } = this.o
    const scale = tensor('FP32', [width], new Float32Array(width).fill(1))
    const gamma = this.graph.initializer(this.#name(), scale)
    return this.node('LayerNormalization', [x, gamma], { epsilon: { float: EPSILON } })
  }

  #name(): string {
    return `p${this.#named++}`
  }
}

/** Of each token what its word and its place say. */
function embedded(net: Net): string {
  const { vocabulary, positions, width } = net.o
  const words = net.node('Gather', [net.weights(vocabulary, width), 'input_ids'])
  const tokens = net.node('Shape', ['input_ids'], { start: { int: 1 }, end: { int: 2 } })
  const places = net.node('Slice', [net.weights(positions, width), net.axes([0]), tokens])
  return net.node('Add', [words, places])
}

function attention(net: Net, x: string, bias: string): string {
  const { width, heads } = net.o
  const size = width / heads
  const split = net.axes([0, 0, heads, size])
  const project = (perm: number[]) => {
    const parts = net.node('Reshape', [net.dense(x, width, width), split])
    return net.node('Transpose', [parts], { perm: { ints: perm } })
  }
  const [query, key, value] = [project([0, 2, 1, 3]), project([0, 2, 3, 1]), project([0, 2, 1, 3])]
  const scores = net.node('Mul', [
    net.node('MatMul', [query, key]),
    net.constant(1 / Math.sqrt(size)),
  ])
  const looks = net.node('Softmax', [net.node('Add', [scores, bias])], { axis: { int: -1 } })
  const seen = net.node('Transpose', [net.node('MatMul', [looks, value])], {
    perm: { ints: [0, 2, 1, 3] },
  })
  return net.dense(net.node('Reshape', [seen, net.axes([0, 0, width])]), width, width)
}

/** Four times as wide within, with the Gaussian error linear unit (Hendrycks, Gimpel 2016). */
function feedForward(net: Net, x: string): string {
  const { width } = net.o
  const wide = net.dense(x, width, width * 4)
  const error = net.node('Erf', [net.node('Mul', [wide, net.constant(Math.SQRT1_2)])])
  const gate = net.node('Mul', [net.node('Add', [error, net.constant(1)]), net.constant(0.5)])
  return net.dense(net.node('Mul', [wide, gate]), width * 4, width)
}

function pool(net: Net, states: string, mask: string): void {
  const weights = net.node('Unsqueeze', [mask, net.axes([2])])
  const keepdims = { keepdims: { int: 0 } }
  const sum = net.node('ReduceSum', [net.node('Mul', [states, weights]), net.axes([1])], keepdims)
  const count = net.node('ReduceSum', [weights, net.axes([1])], keepdims)
  const mean = net.node('Div', [sum, count])
  const squares = net.node('ReduceSum', [net.node('Mul', [mean, mean]), net.axes([1])])
  net.node('Div', [mean, net.node('Sqrt', [squares])], {}, ['embedding'])
}
