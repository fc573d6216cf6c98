/** The work that the engine benchmarks share: a small network, and processor time over all processes. */
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Tensor } from '#core/inference/tensor.ts'
import type { Signature } from '#schemas/signature.ts'
import { mlp } from '#tests/models.ts'

export const FEATURES = 30

export const SIGNATURE: Signature = {
  inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, FEATURES], batch_axis: 0 }],
  outputs: [{ name: 'y', datatype: 'FP32', shape: [-1, 1], batch_axis: 0 }],
  batching: 'invariant',
}

/** Writes a network of these sizes to a folder of its own for the time of `work`. */
export async function withGraph<T>(sizes: number[], work: (graphPath: string) => Promise<T>) {
  const folder = await mkdtemp(join(tmpdir(), 'galley-bench-'))
  try {
    const graphPath = join(folder, 'model.onnx')
    await writeFile(graphPath, mlp(1, sizes))
    return await work(graphPath)
  } finally {
    await rm(folder, { recursive: true })
  }
}

const VALUES = new Float32Array(1024 * FEATURES).map((_, i) => Math.sin(i))

/** Rows in a buffer of their own, which a host may take away. */
export function batchOf(rows: number): Tensor {
  const data = VALUES.slice(0, rows * FEATURES)
  return { name: 'x', datatype: 'FP32', shape: [rows, FEATURES], data }
}

/** Processor time in µs that this process and the named ones have used. Linux counts others in 10 ms. */
export function cpuUs(pids: number[] = []): number {
  const { user, system } = process.cpuUsage()
  let total = user + system
  for (const pid of pids) {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ')
    total += (Number(fields[11]) + Number(fields[12])) * 10_000
  }
  return total
}

/** Proportional memory of a process in MB. */
export function pssMb(pid: number | 'self'): number {
  return (
    Number(/^Pss: +(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1'))![1]) / 1024
  )
}

export const round = (value: number, digits = 1) => Number(value.toFixed(digits))

export function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!
}
