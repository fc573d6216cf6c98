/**
 * Values as Feast's feature server writes them: column by column, floats with a point, times in Unix
 * seconds, digits that no double holds as they are. Made as text, for that is most of what a read costs.
 */
import { textOf } from '#core/events/time.ts'
import { showAs } from '#core/features/explain/shown.ts'
import type { Value } from '#schemas/event.ts'
import type { FeatureValue, Status, ValueType } from '#schemas/feature.ts'

export type Column = { values: FeatureValue[]; statuses: Status[]; times: (number | null)[] }
type Write = (value: FeatureValue) => string

const EPOCH = '"1970-01-01T00:00:00Z"'
/** Of what a client takes for an int64. */
const INT64_MIN = -(2n ** 63n)
const INT64_MAX = 2n ** 63n - 1n

/** `times` are null where there is none to tell of: then it is the epoch, as it is there. */
export function columnText(column: Column, write: Write): string {
  return resultText(
    column.values.map(write).join(),
    column.statuses.map(status => `"${status}"`).join(),
    column.times.map(timeText).join(),
  )
}

/** A column that came with the request. */
export function givenText(values: readonly unknown[]): string {
  const present = new Array(values.length).fill('"PRESENT"').join()
  const epochs = new Array(values.length).fill(EPOCH).join()
  return resultText(values.map(value => JSON.stringify(value)).join(), present, epochs)
}

/** Made once per output. */
export function writeAs(type: ValueType): Write {
  const one = writeOne(type)
  if (!type.list) return one as Write
  return value => (value === null ? 'null' : `[${(value as Value[]).map(one).join()}]`)
}

function resultText(values: string, statuses: string, times: string): string {
  return `{"values":[${values}],"statuses":[${statuses}],"event_timestamps":[${times}]}`
}

function writeOne(type: ValueType): (value: Value) => string {
  const { list: _, ...single } = type
  const show = showAs(single)
  const written = (value: Value, write: (value: Value) => string) =>
    value === null ? 'null' : write(value)
  switch (type.type) {
    case 'int':
      return value => written(value, intText)
    case 'decimal':
    case 'float':
      return value => written(value, given => floatText(show(given) as Value))
    case 'time':
      return value => written(value, micros => String(Math.floor((micros as number) / 1e6)))
    default:
      return value => JSON.stringify(value)
  }
}

function intText(value: Value): string {
  if (typeof value === 'number') return String(value)
  const digits = BigInt(value as string)
  return digits >= INT64_MIN && digits <= INT64_MAX ? String(digits) : `${digits}.0`
}

/** Who reads it tells a double from an int by the point. */
function floatText(value: Value): string {
  const text = String(value)
  return /[.e]/.test(text) ? text : `${text}.0`
}

let lastTime = 0
let lastText = EPOCH
/** One read gives most columns one time. */
function timeText(micros: number | null): string {
  if (micros === null) return EPOCH
  if (micros !== lastTime) {
    lastTime = micros
    lastText = `"${textOf(micros)}"`
  }
  return lastText
}
