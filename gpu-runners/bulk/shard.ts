/** One shard: its rows through the model, the results into a blob. */
import type { Blobs } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { Tensor, TensorData } from '#core/inference/tensor.ts'
import { type RowsResult, runRows } from '#gpu-runners/batcher/rows.ts'
import { EngineCrash, type LoadedModel } from '#gpu-runners/engines/engine.ts'
import type { Turns } from '#gpu-runners/steps.ts'
import type { Ran, ShardJob } from './codec/code.ts'
import { codeInThread } from './codec/coder.ts'
import type { Batch } from './codec/open-batch.ts'

export type Shard = Omit<ShardJob, 'signature'> & {
  source: AsyncIterable<Uint8Array>
  /** Where the results go. */
  key: string
  turns: Turns
}
export type ShardDone = {
  rowsDone: number
  rowsFailed: number
  computeUs: number
  bytesIn: number
  bytesOut: number
}
export type RunnableModel = Pick<LoadedModel, 'digest' | 'signature' | 'run'>

/** Rows that end the engine cost a restart each time that one is looked for: past so many, it is the model. */
const CRASHES_MAX = 64

export async function runShard(
  blobs: Pick<Blobs, 'put'>,
  model: RunnableModel,
  { source, key, turns, ...job }: Shard,
  signal: AbortSignal,
): Promise<ShardDone> {
  const chunks = source[Symbol.asyncIterator]()
  const results = new TransformStream<Uint8Array, Uint8Array>()
  const writer = results.writable.getWriter()
  const engine = guarded(model)
  let computeUs = 0
  let bytesIn = 0
  const io = {
    async read(spent?: Uint8Array) {
      // A store that can fill it again does.
      const { done, value } = await chunks.next(spent)
      if (done) return null
      bytesIn += value.length
      return value
    },
    async run(batch: Batch) {
      await turns.begin()
      const { ran, spentUs } = await runBatch(engine, batch, signal)
      computeUs += spentUs
      return ran
    },
    write: (bytes: Uint8Array) => writer.write(bytes),
    nearlyDone: () => turns.nearlyDone(),
  }
  const storing = blobs.put(key, results.readable as AsyncIterable<Uint8Array>)
  const coding = codeInThread({ ...job, signature: model.signature }, io, signal)
    .then(async tally => {
      await writer.close()
      return tally
    })
    .catch(async error => {
      await writer.abort(error).catch(() => {})
      throw error
    })
    .finally(() => chunks.return?.())
  const [stored, coded] = await Promise.allSettled([storing, coding])
  // A store that fails makes the coding fail after it, never the other way round.
  if (stored.status === 'rejected') throw stored.reason
  if (coded.status === 'rejected') throw coded.reason
  const { rows, failed } = coded.value
  return { rowsDone: rows, rowsFailed: failed, computeUs, bytesIn, bytesOut: stored.value.size }
}

async function runBatch(model: LoadedModel, batch: Batch, signal: AbortSignal) {
  const names = model.signature.outputs.map(output => output.name)
  const ran: Ran = { blocks: [], failures: [] }
  let spentUs = 0
  const add = (result: RowsResult, offset: number) => {
    for (const { from, to, outputs, computeUs } of result.blocks) {
      ran.blocks.push({ from: from + offset, to: to + offset, outputs })
      spentUs += computeUs
    }
    for (const { row, error } of result.failures) {
      ran.failures.push({
        row: row + offset,
        error: { code: error.code, detail: error.public },
      })
    }
  }
  if (!batch.stacked) add(await runRows(model, batch.inputs, names, signal), 0)
  else {
    for (let row = 0; row < batch.rows; row++) {
      const inputs = batch.inputs.map(input => rowOf(input, row, batch.rows))
      add(await runRows(model, inputs, names, signal), row)
    }
  }
  return { ran, spentUs }
}

/** One of the rows that lie behind each other; the shape is a row's already. */
function rowOf(input: Tensor, row: number, rows: number): Tensor {
  const count = input.data.length / rows
  const cut = (data: TensorData): TensorData =>
    Array.isArray(data)
      ? data.slice(row * count, (row + 1) * count)
      : data.subarray(row * count, (row + 1) * count)
  return { ...input, data: cut(input.data) }
}

function guarded(model: RunnableModel): LoadedModel {
  let crashes = 0
  return {
    digest: model.digest,
    signature: model.signature,
    async run(inputs, outputs) {
      try {
        return await model.run(inputs, outputs)
      } catch (error) {
        if (error instanceof EngineCrash && ++crashes > CRASHES_MAX) {
          throw new AppError('invalid_model', {
            public: `The engine process ended ${crashes} times within one shard; the model cannot run on this input.`,
            internal: error.message,
          })
        }
        throw error
      }
    },
    close: async () => {},
  }
}
