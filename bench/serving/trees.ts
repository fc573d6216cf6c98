/**
 * Gradient-boosted trees, grown here on rows from a seed and written as an ONNX tree ensemble: squared
 * error, exact splits over 32 quantiles of each feature (Friedman, Greedy function approximation, 2001).
 */
import { Graph, model } from '#core/models/onnx/build.ts'
import { uniform } from '#tests/models.ts'

const ROWS = 4_000
const BINS = 32
const LEAF_ROWS_MIN = 10
const LEARNING_RATE = 0.1

/** A node's rows go to `left` where the feature is at most the threshold; a leaf has a value. */
type Node = { feature: number; bin: number; left: number; right: number } | { value: number }

/** `x` FP32 [batch, features] → `y` FP32 [batch, 1]. The same bytes for the same numbers. */
export function trees(o: { seed: number; features: number; count: number; depth: number }) {
  const random = uniform(o.seed)
  const columns = Array.from({ length: o.features }, () =>
    Float32Array.from({ length: ROWS }, () => random() * 2 - 1),
  )
  const edges = columns.map(quantiles)
  const binned = columns.map((column, f) => Uint8Array.from(column, x => binOf(edges[f]!, x)))
  const left = Float64Array.from({ length: ROWS }, (_, row) => targetOf(columns, row))
  const grown: Node[][] = []
  for (let n = 0; n < o.count; n++) {
    const tree: Node[] = []
    grow(tree, binned, left, Array.from(left.keys()), o.depth)
    for (let row = 0; row < ROWS; row++) left[row]! -= answerOf(tree, binned, row)
    grown.push(tree)
  }
  return write(grown, edges, o.features)
}

/** What the trees learn: products, a step and a wave of some of the features. */
function targetOf(columns: Float32Array[], row: number): number {
  const x = (f: number) => columns[f % columns.length]![row]!
  return x(0) * x(1) + (x(2) > 0.2 ? 1 : 0) + Math.sin(3 * x(3)) + x(4) * x(5) * x(6) + x(7) / 2
}

function quantiles(column: Float32Array): Float32Array {
  const sorted = column.toSorted()
  return Float32Array.from(
    { length: BINS - 1 },
    (_, i) => sorted[Math.floor(((i + 1) * sorted.length) / BINS)]!,
  )
}

/** The first of the edges that is not below it: `x <= edges[b]` for all b from there on. */
function binOf(edges: Float32Array, x: number): number {
  let bin = 0
  while (bin < edges.length && x > edges[bin]!) bin++
  return bin
}

function grow(
  tree: Node[],
  binned: Uint8Array[],
  left: Float64Array,
  rows: number[],
  depth: number,
) {
  const at = tree.length
  const sum = rows.reduce((total, row) => total + left[row]!, 0)
  tree.push({ value: (LEARNING_RATE * sum) / rows.length })
  const split = depth > 0 ? bestSplit(binned, left, rows, sum) : null
  if (!split) return
  const { feature, bin } = split
  const column = binned[feature]!
  const below = rows.filter(row => column[row]! <= bin)
  const above = rows.filter(row => column[row]! > bin)
  const leftAt = tree.length
  grow(tree, binned, left, below, depth - 1)
  const rightAt = tree.length
  grow(tree, binned, left, above, depth - 1)
  tree[at] = { feature, bin, left: leftAt, right: rightAt }
}

function bestSplit(binned: Uint8Array[], left: Float64Array, rows: number[], sum: number) {
  let best: { feature: number; bin: number; gain: number } | null = null
  for (const [feature, column] of binned.entries()) {
    const sums = new Float64Array(BINS)
    const counts = new Uint32Array(BINS)
    for (const row of rows) {
      sums[column[row]!]! += left[row]!
      counts[column[row]!]!++
    }
    let [below, count] = [0, 0]
    for (let bin = 0; bin < BINS - 1; bin++) {
      below += sums[bin]!
      count += counts[bin]!
      const rest = rows.length - count
      if (count < LEAF_ROWS_MIN || rest < LEAF_ROWS_MIN) continue
      const gain = below ** 2 / count + (sum - below) ** 2 / rest
      if (!best || gain > best.gain) best = { feature, bin, gain }
    }
  }
  return best
}

function answerOf(tree: Node[], binned: Uint8Array[], row: number): number {
  let node = tree[0]!
  while (!('value' in node)) {
    node = tree[binned[node.feature]![row]! <= node.bin ? node.left : node.right]!
  }
  return node.value
}

function write(grown: Node[][], edges: Float32Array[], features: number): Uint8Array {
  const nodes = grown.flatMap((tree, t) => tree.map((node, n) => ({ t, n, node })))
  const leaves = nodes.flatMap(({ t, n, node }) => ('value' in node ? [{ t, n, ...node }] : []))
  const of = (pick: (node: Exclude<Node, { value: number }>) => number) =>
    nodes.map(({ node }) => ('value' in node ? 0 : pick(node)))
  const graph = new Graph('trees')
  graph.input('x', 'FP32', ['batch', features])
  const attributes = {
    n_targets: { int: 1 },
    nodes_treeids: { ints: nodes.map(({ t }) => t) },
    nodes_nodeids: { ints: nodes.map(({ n }) => n) },
    nodes_featureids: { ints: of(node => node.feature) },
    nodes_values: { floats: of(node => edges[node.feature]![node.bin]!) },
    nodes_modes: { strings: nodes.map(({ node }) => ('value' in node ? 'LEAF' : 'BRANCH_LEQ')) },
    nodes_truenodeids: { ints: of(node => node.left) },
    nodes_falsenodeids: { ints: of(node => node.right) },
    target_treeids: { ints: leaves.map(({ t }) => t) },
    target_nodeids: { ints: leaves.map(({ n }) => n) },
    target_ids: { ints: leaves.map(() => 0) },
    target_weights: { floats: leaves.map(({ value }) => value) },
  }
  const options = { outputs: ['y'], domain: 'ai.onnx.ml' }
  graph.node('TreeEnsembleRegressor', ['x'], attributes, options)
  graph.output('y', 'FP32', ['batch', 1])
  return model(graph, { opsets: { '': 17, 'ai.onnx.ml': 3 } })
}
