/** Faults put into the batcher on purpose, in a copy of the sources: a proof that does not see them proves nothing. */
import { type Copy, copyWith } from '../../chaos/planted.ts'

type Patch = [file: string, from: string, to: string]

const BATCHER = 'gpu-runners/batcher/batcher.ts'
const BATCH = 'gpu-runners/batcher/batch.ts'
const PARTS = 'gpu-runners/batcher/parts.ts'
const ASK = 'gpu-runners/batcher/ask.ts'
const BISECT = 'gpu-runners/batcher/bisect.ts'
const JOINED = 'gpu-runners/batcher/joined.ts'
const SHARES = 'gpu-runners/batcher/shares.ts'
const ROWS = 'core/inference/rows.ts'

export const PLANTED = {
  'rows are sliced one too far': [
    [JOINED, 'slice(output, axis, from, to)', 'slice(output, axis, from + 1, to + 1)'],
  ],
  'rows on another axis than the first are sliced as on the first': [
    [ROWS, '(o * rows + from) * inner', 'o * run + from * inner'],
  ],
  'datatypes are mixed': [[ROWS, 'allocate(first.datatype, count)', "allocate('INT64', count)"]],
  'one who leaves shifts the rows of the others': [
    [BATCH, 'else answer(live, result)\n  }', 'else answer(some, result)\n  }'],
  ],
  'one who has left is computed': [[BATCHER, 'if (ask.signal?.aborted) {', 'if (false) {']],
  'one who is late is computed': [
    [BATCHER, 'if (lateMs < 0) return false', 'if (lateMs < 2) return false'],
  ],
  'halving loses the one in the middle': [
    [BISECT, 'items.slice(middle)', 'items.slice(middle + 1)'],
  ],
  'all of a batch fail with one': [
    [BISECT, 'else if (items.length > 1)', 'else if (items.length > 1e6)'],
  ],
  'whoever was there when the process ended is blamed': [
    [BISECT, 'if (error instanceof EngineCrash) {', 'if (error === null) {'],
  ],
  'the key leaves out the dimensions': [
    [ASK, 'for (const axis of open[i]!)', 'for (const axis of [] as number[])'],
  ],
  'the key leaves out inputs without rows': [
    [ASK, 'for (const i of rowless)', 'for (const i of [] as number[])'],
  ],
  'the key leaves out the outputs': [
    [ASK, 'outputs.length === 1 ? outputs[0]! : JSON.stringify(outputs)', "''"],
  ],
  'a batch is filled up with rows of somebody': [
    [
      JOINED,
      'requests.map(inputs => inputs[i]!),',
      '[...requests, first].map(inputs => inputs[i]!),',
    ],
  ],
  'rows that influence each other are batched': [
    [BATCHER, "signature.batching !== 'unbatched' &&", ''],
  ],
  'the rows of the outputs are not counted': [
    [JOINED, 'output.shape[axis] !== rows', 'output.shape[axis] === -1'],
  ],
  'parts are put together from behind': [
    [
      PARTS,
      'answers.map(answer => answer.outputs)',
      'answers.toReversed().map(answer => answer.outputs)',
    ],
  ],
  'shares are rounded one by one': [
    [SHARES, 'Math.floor((total * weight) / sum)', 'Math.round((total * weight) / sum)'],
    [SHARES, 'if (left === 0) return parts', 'return parts'],
  ],
  'the rest of the shares goes to the first': [
    [SHARES, 'b.remainder - a.remainder || a.i - b.i', 'a.i - b.i'],
  ],
  'callers pay alike, whatever their rows': [
    [BATCH, 'shares(computeUs, rows)', 'shares(computeUs, rows.map(() => 1))'],
  ],
} satisfies Record<string, Patch[]>
export type Fault = keyof typeof PLANTED

export function plant(fault: Fault): Copy {
  return copyWith('batching', PLANTED[fault] as Patch[])
}
