/** From values as people write them to tensors, by what the model says it takes. */
import { parseExact } from '../../inference/exact-json.ts'
import type { Datatype, JsonTensor, JsonValue } from '../../inference/infer.ts'
import { UsageError } from '../command.ts'

/** -1 is a dimension that the request chooses. */
export type TensorInfo = { name: string; datatype: Datatype; shape: number[] }

/** `name=value` each; with a single input, the value alone. */
export async function valuesOf(
  infos: TensorInfo[],
  args: string[],
  file: (path: string) => Promise<string>,
): Promise<Map<string, unknown>> {
  const values = new Map<string, unknown>()
  for (const arg of args) {
    const known = infos.find(({ name }) => arg.startsWith(`${name}=`))
    const info = known ?? (infos.length === 1 && args.length === 1 ? infos[0]! : null)
    const [, other] = /^([A-Za-z_][\w.-]*)=/.exec(arg) ?? []
    if (!known && other && info?.datatype !== 'BYTES') {
      throw new UsageError(`There is no input "${other}"; the model takes ${named(infos)}.`)
    }
    if (!info) throw new UsageError(`"${arg}" names no input; the model takes ${named(infos)}.`)
    const text = known ? arg.slice(info.name.length + 1) : arg
    values.set(info.name, readValue(info, text.startsWith('@') ? await file(text.slice(1)) : text))
  }
  return values
}

export function tensorsOf(infos: TensorInfo[], values: Map<string, unknown>): JsonTensor[] {
  const unknown = [...values.keys()].find(name => !infos.some(info => info.name === name))
  if (unknown !== undefined) {
    throw new UsageError(`There is no input "${unknown}"; the model takes ${named(infos)}.`)
  }
  return infos.map(info => {
    if (!values.has(info.name)) {
      throw new UsageError(`The input "${info.name}" is missing; the model takes ${named(infos)}.`)
    }
    return tensor(info, values.get(info.name) as JsonValue)
  })
}

/** One row, or one scalar, is given the dimensions of size 1 that it lacks in front. */
function tensor(info: TensorInfo, value: JsonValue): JsonTensor {
  const { name, datatype } = info
  let data = value
  let shape = shapeOf(value)
  while (
    shape.length < info.shape.length &&
    [-1, 1].includes(info.shape[info.shape.length - shape.length - 1]!)
  ) {
    data = [data]
    shape = [1, ...shape]
  }
  return { name, datatype, shape, data: Array.isArray(data) ? data : [data] }
}

function shapeOf(value: JsonValue): number[] {
  return Array.isArray(value) ? [value.length, ...(value.length > 0 ? shapeOf(value[0]!) : [])] : []
}

function readValue({ name, datatype }: TensorInfo, text: string): unknown {
  try {
    return parseExact(text)
  } catch {}
  const parts = text.trim().split(',')
  if (datatype === 'BYTES') return parts.length === 1 ? parts[0] : parts
  try {
    return parseExact(`[${text}]`)
  } catch {
    throw new UsageError(`"${text}" is no value for "${name}" (${datatype}); write 1,2,3 or JSON.`)
  }
}

function named(infos: TensorInfo[]): string {
  return infos
    .map(({ name, datatype, shape }) => {
      const sizes = shape.map(size => (size < 0 ? '?' : size)).join(',')
      return `${name} (${datatype} [${sizes}])`
    })
    .join(', ')
}
