/**
 * From values to a score: rows of FP32 in, one number a row out, as bytes of the Open Inference Protocol,
 * so that a score is the model's own to the last bit. Compiled once per plan.
 */
import { AppError } from '#core/error.ts'
import type { DecisionPlan, ModelInput } from '#schemas/decision.ts'
import type { Value } from '#schemas/event.ts'
import type { Signature } from '#schemas/signature.ts'
import type { Named } from './named.ts'

/** `jsonLength`: bytes of JSON before the numbers. */
export type Question = { body: Uint8Array; jsonLength: number }
export type Answer = { body: Uint8Array; jsonLength: number | null }
export type Scoring = {
  /** What the model is shown of these values: numbers in units, conditions as 1 and 0. */
  row(values: Named): Float32Array
  /** `rows`: one after the other; `parameters`: of the request, beside them. */
  question(rows: Float32Array, parameters?: Record<string, string>): Question
  /** One score a row. Throws `inference_failed` where one is no number. */
  scores(answer: Answer, rows: number): number[]
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()
/** Numbers are read in place where they stand at a multiple of their size. */
const ALIGNMENT = 8
const SPACE = 0x20
const WIDTHS: Record<string, number> = { FP32: 4, FP64: 8 }

export function compileScoring(input: ModelInput, scope: DecisionPlan['scope']): Scoring {
  const { features, missing } = input
  const width = features.length
  const units = features.map(name => 10 ** (scope[name]!.scale ?? 0))
  const absent = features.map(name => missing[name] ?? 0)
  const heads = new Map<number, Uint8Array>()
  return {
    row(values) {
      const row = new Float32Array(width)
      for (let i = 0; i < width; i++) {
        const value = values[features[i]!] as Value
        // An integer that no double holds comes as its digits.
        row[i] = value === null ? absent[i]! : Number(value) / units[i]!
      }
      return row
    },
    question(rows, parameters) {
      const count = rows.length / width
      const known = parameters ? undefined : heads.get(count)
      const head = known ?? headOf(input, count, parameters)
      if (count === 1 && !parameters) heads.set(count, head)
      const body = new Uint8Array(head.length + rows.byteLength)
      body.set(head)
      body.set(new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength), head.length)
      return { body, jsonLength: head.length }
    },
    scores: (answer, rows) => scoresOf(input, answer, rows),
  }
}

function headOf(
  { tensor, features, output }: ModelInput,
  rows: number,
  parameters?: Record<string, string>,
): Uint8Array {
  const width = features.length
  const size = { binary_data_size: 4 * rows * width }
  const text = JSON.stringify({
    parameters,
    inputs: [{ name: tensor, shape: [rows, width], datatype: 'FP32', parameters: size }],
    outputs: [{ name: output.tensor, parameters: { binary_data: true } }],
  })
  const bytes = encoder.encode(text)
  const head = new Uint8Array(Math.ceil(bytes.length / ALIGNMENT) * ALIGNMENT).fill(SPACE)
  head.set(bytes)
  return head
}

type Output = { name: string; datatype: string; parameters?: { binary_data_size?: number } }

function scoresOf(input: ModelInput, { body, jsonLength }: Answer, rows: number): number[] {
  const { tensor, index } = input.output
  const at = jsonLength ?? body.length
  const { outputs } = JSON.parse(decoder.decode(body.subarray(0, at))) as { outputs: Output[] }
  const found = outputs.find(({ name }) => name === tensor)
  const width = WIDTHS[found?.datatype ?? ''] ?? 4
  const each = (found?.parameters?.binary_data_size ?? 0) / width / rows
  if (index >= each) throw noScore(input, `there are ${each} values a row`)
  const view = new DataView(body.buffer, body.byteOffset + at)
  return Array.from({ length: rows }, (_, row) => {
    const offset = (row * each + index) * width
    const score = width === 8 ? view.getFloat64(offset, true) : view.getFloat32(offset, true)
    if (!Number.isFinite(score)) throw noScore(input, `it is ${score}`)
    return score
  })
}

function noScore({ model, output }: ModelInput, why: string): AppError {
  return new AppError('inference_failed', {
    public: `"${model}" gave no score as element ${output.index} of "${output.tensor}": ${why}.`,
  })
}

/** What is wrong with a model for such an input, and at which part of a definition; null: it fits. */
export function misfit(
  { model, tensor, features, output }: Omit<ModelInput, 'version' | 'missing'>,
  { inputs, outputs }: Signature,
): { part: 'tensor' | 'features' | 'output' | 'output_index'; detail: string } | null {
  const [spec, ...others] = inputs
  if (others.length > 0 || spec?.name !== tensor) {
    const detail = `A decision shows "${model}" one row, in its one input "${tensor}"; it takes ${listed(inputs)}.`
    return { part: 'tensor', detail }
  }
  const width = features.length
  const { datatype, shape } = spec
  const [rows, columns] = shape
  const isRow = shape.length === 2 && (rows === -1 || rows === 1)
  if (datatype !== 'FP32' || !isRow || (columns !== -1 && columns !== width)) {
    const takes = `${datatype} [${shape.map(dim => (dim === -1 ? 'n' : dim)).join(', ')}]`
    return {
      part: 'features',
      detail: `"${model}" takes ${takes}, and these are FP32 [1, ${width}].`,
    }
  }
  const given = outputs.find(({ name }) => name === output.tensor)
  if (!given) {
    const detail = `"${model}" has no output "${output.tensor}"; it gives ${listed(outputs)}.`
    return { part: 'output', detail }
  }
  if (!(given.datatype in WIDTHS)) {
    const detail = `A score is FP32 or FP64, and "${given.name}" is ${given.datatype}.`
    return { part: 'output', detail }
  }
  const each = given.shape.slice(1).reduce((product, dim) => product * dim, 1)
  if (each < 0 || output.index < each) return null
  const detail = `"${given.name}" gives ${each} numbers a row, the first at index 0.`
  return { part: 'output_index', detail }
}

function listed(tensors: { name: string }[]): string {
  return tensors.map(({ name }) => `"${name}"`).join(', ')
}
