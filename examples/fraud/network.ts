/**
 * A small network for rare events: hidden layers, fitted by Adam (Kingma, Ba 2015) on the weighted
 * cross entropy, written as ONNX with its standardisation inside. Same rows and seed, same bytes.
 */
import { Graph, model, tensor } from '#core/models/onnx/build.ts'
import { randomOf } from './random.ts'

export type Rows = { rows: Float32Array; width: number; labels: Uint8Array }
type Layer = { from: number; to: number; weights: Float64Array; bias: Float64Array }
export type Network = { mean: number[]; scale: number[]; layers: Layer[] }

const RATE = 2e-3
const BATCH = 256
const BETA_1 = 0.9
const BETA_2 = 0.999

export type Fit = {
  seed: number
  epochs: number
  /** A rare row weighs as much as so many others. */
  balance: number
  /** Widths of the hidden layers; none makes it a logistic regression. */
  hidden: readonly number[]
}

/** Fits on rows × width values. */
export function fit(data: Rows, o: Fit): Network {
  const random = randomOf(o.seed)
  const { mean, scale } = standardise(data)
  const sizes = [data.width, ...o.hidden, 1]
  const layers = sizes.slice(1).map((to, i): Layer => {
    const from = sizes[i]!
    const weights = Float64Array.from(
      { length: from * to },
      () => random.normal() * Math.sqrt(2 / from),
    )
    return { from, to, weights, bias: new Float64Array(to) }
  })
  const state = layers.map(({ weights, bias }) => ({
    w: moments(weights.length),
    b: moments(bias.length),
  }))
  const order = Uint32Array.from({ length: data.labels.length }, (_, i) => i)
  const input = new Float64Array(data.width)
  let step = 0
  for (let epoch = 0; epoch < o.epochs; epoch++) {
    for (let i = order.length - 1; i > 0; i--) {
      const j = random.int(0, i)
      ;[order[i], order[j]] = [order[j]!, order[i]!]
    }
    for (let at = 0; at < order.length; at += BATCH) {
      const slopes = layers.map(({ weights, bias }) => ({
        w: new Float64Array(weights.length),
        b: new Float64Array(bias.length),
      }))
      const batch = order.subarray(at, at + BATCH)
      for (const row of batch) {
        for (let j = 0; j < data.width; j++) {
          input[j] = (data.rows[row * data.width + j]! - mean[j]!) / scale[j]!
        }
        const label = data.labels[row]!
        backward(layers, input, label, label ? o.balance : 1, slopes)
      }
      step++
      for (const [i, layer] of layers.entries()) {
        descend(layer.weights, slopes[i]!.w, state[i]!.w, step, batch.length)
        descend(layer.bias, slopes[i]!.b, state[i]!.b, step, batch.length)
      }
    }
  }
  return { mean, scale, layers }
}

/** features FP32 [batch, width] → score FP32 [batch, 1], a probability under the weights of the fit. */
export function toOnnx({ mean, scale, layers }: Network): Uint8Array {
  const graph = new Graph('fraud')
  let last = graph.input('features', 'FP32', ['batch', mean.length])
  graph.initializer('mean', tensor('FP32', [mean.length], mean))
  graph.initializer('scale', tensor('FP32', [scale.length], scale))
  last = graph.node('Div', [graph.node('Sub', [last, 'mean']), 'scale'])
  for (const [i, { from, to, weights, bias }] of layers.entries()) {
    graph.initializer(`w${i}`, tensor('FP32', [from, to], [...weights]))
    graph.initializer(`b${i}`, tensor('FP32', [to], [...bias]))
    last = graph.node('Gemm', [last, `w${i}`, `b${i}`])
    if (i < layers.length - 1) last = graph.node('Relu', [last])
  }
  graph.node('Sigmoid', [last], {}, { outputs: ['score'] })
  graph.output('score', 'FP32', ['batch', 1])
  return model(graph)
}

/** The logit of one standardised row. `activations`: of every layer, for the way back. */
function forward(layers: Layer[], input: Float64Array, activations: Float64Array[]): number {
  let values = input
  for (const [i, { from, to, weights, bias }] of layers.entries()) {
    const out = Float64Array.from(bias)
    for (let a = 0; a < from; a++) {
      const value = values[a]!
      if (value !== 0) for (let b = 0; b < to; b++) out[b]! += value * weights[a * to + b]!
    }
    if (i < layers.length - 1) for (let b = 0; b < to; b++) if (out[b]! < 0) out[b] = 0
    activations.push(out)
    values = out
  }
  return values[0]!
}

type Slopes = { w: Float64Array; b: Float64Array }[]

function backward(
  layers: Layer[],
  input: Float64Array,
  label: number,
  weight: number,
  slopes: Slopes,
): void {
  const activations: Float64Array[] = []
  const logit = forward(layers, input, activations)
  let error = Float64Array.of(weight * (1 / (1 + Math.exp(-logit)) - label))
  for (let i = layers.length - 1; i >= 0; i--) {
    const { from, to, weights } = layers[i]!
    const below = i === 0 ? input : activations[i - 1]!
    const next = new Float64Array(from)
    for (let b = 0; b < to; b++) slopes[i]!.b[b]! += error[b]!
    for (let a = 0; a < from; a++) {
      const value = below[a]!
      for (let b = 0; b < to; b++) {
        slopes[i]!.w[a * to + b]! += value * error[b]!
        next[a]! += weights[a * to + b]! * error[b]!
      }
      if (i > 0 && value === 0) next[a] = 0
    }
    error = next
  }
}

function moments(length: number) {
  return { m: new Float64Array(length), v: new Float64Array(length) }
}

function descend(
  values: Float64Array,
  slopes: Float64Array,
  { m, v }: ReturnType<typeof moments>,
  step: number,
  rows: number,
): void {
  const rate = (RATE * Math.sqrt(1 - BETA_2 ** step)) / (1 - BETA_1 ** step)
  for (let i = 0; i < values.length; i++) {
    const slope = slopes[i]! / rows
    m[i] = BETA_1 * m[i]! + (1 - BETA_1) * slope
    v[i] = BETA_2 * v[i]! + (1 - BETA_2) * slope * slope
    values[i]! -= (rate * m[i]!) / (Math.sqrt(v[i]!) + 1e-8)
  }
}

function standardise({ rows, width, labels }: Rows) {
  const count = labels.length
  const mean = new Array<number>(width).fill(0)
  const scale = new Array<number>(width).fill(0)
  for (let i = 0; i < rows.length; i++) mean[i % width]! += rows[i]! / count
  for (let i = 0; i < rows.length; i++)
    scale[i % width]! += (rows[i]! - mean[i % width]!) ** 2 / count
  return { mean, scale: scale.map(value => Math.sqrt(value) || 1) }
}
