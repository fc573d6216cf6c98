/**
 * Fits a softmax regression on Fisher's iris data and writes it as an ONNX model. Plain gradient descent
 * from zero over all rows: no randomness, so the same data gives the same bytes.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Graph, model, tensor } from '#core/models/onnx/build.ts'

const FOLDER = import.meta.dirname
const STEPS = 4_000
const LEARNING_RATE = 0.5
/** Keeps the weights finite: one species can be told apart perfectly. */
const WEIGHT_DECAY = 1e-3

export type Data = { rows: number[][]; labels: number[]; species: string[] }
export type Weights = { weights: number[][]; bias: number[] }

/** The 150 flowers: four lengths in centimetres and the species of each. */
export function readIris(path = join(FOLDER, 'iris.csv')): Data {
  const lines = readFileSync(path, 'utf8').trim().split('\n').slice(1)
  const cells = lines.map(line => line.split(','))
  const species = [...new Set(cells.map(row => row[4]!))]
  return {
    rows: cells.map(row => row.slice(0, 4).map(Number)),
    labels: cells.map(row => species.indexOf(row[4]!)),
    species,
  }
}

/** Weights for the measurements as they are: the standardisation used for fitting is folded in. */
export function fitSoftmax({ rows, labels, species }: Data): Weights {
  const means = columns(rows).map(mean)
  const deviations = columns(rows).map((column, j) =>
    Math.sqrt(mean(column.map(value => (value - means[j]!) ** 2))),
  )
  const scaled = rows.map(row => row.map((value, j) => (value - means[j]!) / deviations[j]!))
  const weights = means.map(() => species.map(() => 0))
  const bias = species.map(() => 0)
  for (let step = 0; step < STEPS; step++) descend(scaled, labels, { weights, bias })
  return {
    weights: weights.map((row, j) => row.map(weight => weight / deviations[j]!)),
    bias: bias.map((value, k) =>
      weights.reduce((sum, row, j) => sum - (row[k]! * means[j]!) / deviations[j]!, value),
    ),
  }
}

/** One step along the gradient of the cross entropy over all rows. */
function descend(rows: number[][], labels: number[], { weights, bias }: Weights): void {
  const errors = rows.map((row, i) => {
    const error = softmax(scores(row, { weights, bias }))
    error[labels[i]!]! -= 1
    return error
  })
  for (const [k] of bias.entries()) {
    for (const [j, row] of weights.entries()) {
      const slope = mean(errors.map((error, i) => error[k]! * rows[i]![j]!))
      row[k]! -= LEARNING_RATE * (slope + WEIGHT_DECAY * row[k]!)
    }
    bias[k]! -= LEARNING_RATE * mean(errors.map(error => error[k]!))
  }
}

/** measurements FP32 [batch, 4] → probabilities FP32 [batch, 3] and species BYTES [batch]. */
export function toOnnx({ weights, bias }: Weights, species: string[]): Uint8Array {
  const graph = new Graph('iris')
  graph.input('measurements', 'FP32', ['batch', weights.length])
  graph.initializer('weights', tensor('FP32', [weights.length, bias.length], weights.flat()))
  graph.initializer('bias', tensor('FP32', [bias.length], bias))
  graph.initializer('names', tensor('BYTES', [species.length], species))
  const logits = graph.node('Gemm', ['measurements', 'weights', 'bias'])
  graph.node('Softmax', [logits], { axis: { int: 1 } }, { outputs: ['probabilities'] })
  const best = graph.node('ArgMax', [logits], { axis: { int: 1 }, keepdims: { int: 0 } })
  graph.node('Gather', ['names', best], {}, { outputs: ['species'] })
  graph.output('probabilities', 'FP32', ['batch', bias.length])
  graph.output('species', 'BYTES', ['batch'])
  return model(graph)
}

export function accuracy(data: Data, weights: Weights): number {
  const hits = data.rows.filter((row, i) => {
    const all = scores(row, weights)
    return all.indexOf(Math.max(...all)) === data.labels[i]
  })
  return hits.length / data.rows.length
}

function scores(row: number[], { weights, bias }: Weights): number[] {
  return bias.map((start, k) => row.reduce((sum, value, j) => sum + value * weights[j]![k]!, start))
}

function softmax(values: number[]): number[] {
  const largest = Math.max(...values)
  const powers = values.map(value => Math.exp(value - largest))
  const sum = powers.reduce((a, b) => a + b, 0)
  return powers.map(power => power / sum)
}

function columns(rows: number[][]): number[][] {
  return rows[0]!.map((_, j) => rows.map(row => row[j]!))
}

function mean(values: number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length
}

if (import.meta.main) {
  const data = readIris()
  const weights = fitSoftmax(data)
  writeFileSync(join(FOLDER, 'iris.onnx'), toOnnx(weights, data.species))
  process.stdout.write(`accuracy on all 150 rows: ${accuracy(data, weights).toFixed(3)}\n`)
}
