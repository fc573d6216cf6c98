/** A request with more rows than a batch: cut into parts that wait and run like others. */
import type { Tensor } from '#core/inference/tensor.ts'
import type { Signature } from '#schemas/signature.ts'
import { type Answer, bytesOfAll, type Departure, type Waiting } from './ask.ts'
import { axesOf, putTogether, RowsDiffer, sliceInputs } from './joined.ts'

type Large = Waiting & { inputs: readonly Tensor[]; outputs: readonly string[]; partRows: number }
/** Waits for its run and gives its answer; `isPart` as in `Ask`. */
type Enqueue = (
  one: Waiting,
  inputs: readonly Tensor[],
  outputs: readonly string[],
  isPart: boolean,
) => Promise<Answer>

export async function submitInParts(
  signature: Signature,
  { inputs: whole, outputs, partRows, ...one }: Large,
  enqueue: Enqueue,
): Promise<Answer> {
  const { rows, signal: own } = one
  let failed = false
  const signal: Departure = {
    get aborted() {
      return failed || own?.aborted === true
    },
  }
  const parts: Promise<Answer>[] = []
  for (let from = 0; from < rows; from += partRows) {
    const to = Math.min(rows, from + partRows)
    const inputs = sliceInputs(signature, whole, from, to)
    const part = { ...one, rows: to - from, bytes: bytesOfAll(inputs), signal }
    parts.push(enqueue(part, inputs, outputs, true))
  }
  try {
    const answers = await Promise.all(parts)
    return {
      outputs: putTogether(
        answers.map(answer => answer.outputs),
        axesOf(signature, outputs),
      ),
      computeUs: answers.reduce((sum, answer) => sum + answer.computeUs, 0),
      rows,
      batchRows: Math.max(...answers.map(answer => answer.batchRows)),
    }
  } catch (error) {
    failed = true
    await Promise.allSettled(parts)
    if (error instanceof RowsDiffer) return enqueue(one, whole, outputs, false)
    throw error
  }
}
