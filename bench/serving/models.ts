/** The small models of the comparison, from stated seeds: `x` FP32 [batch, 30] → `y` FP32 [batch, 1]. */
import * as ort from 'onnxruntime-node'
import type { Signature } from '#schemas/signature.ts'
import { mlp } from '#tests/models.ts'
import { trees } from './trees.ts'

export const FEATURES = 30

export const SMALL_MODELS = {
  mlp: { what: 'MLP 30-64-32-1', build: () => mlp(7, [FEATURES, 64, 32, 1]) },
  trees: {
    what: '100 boosted trees of depth 6',
    build: () => trees({ seed: 7, features: FEATURES, count: 100, depth: 6 }),
  },
}
export type SmallModel = keyof typeof SMALL_MODELS

export const SIGNATURE: Signature = {
  inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, FEATURES], batch_axis: 0 }],
  outputs: [{ name: 'y', datatype: 'FP32', shape: [-1, 1], batch_axis: 0 }],
  batching: 'invariant',
}

/** Rows that differ, in numbers that are short in JSON. */
export function rowOf(i: number): number[] {
  return Array.from({ length: FEATURES }, (_, f) => Math.round(Math.sin(i * 31 + f) * 1e4) / 1e4)
}

/** What the runtime itself answers for these rows, each run alone. */
export async function directly(graphPath: string, rows: number[][]): Promise<number[]> {
  const session = await ort.InferenceSession.create(graphPath, { intraOpNumThreads: 1 })
  const values: number[] = []
  for (const row of rows) {
    const x = new ort.Tensor('float32', Float32Array.from(row), [1, FEATURES])
    const { y } = await session.run({ x })
    values.push(Number(y!.data[0]))
  }
  await session.release()
  return values
}
