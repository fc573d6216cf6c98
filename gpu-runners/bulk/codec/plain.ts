/**
 * A row's line from bytes straight into its batch, without a text, an object or an array between: for
 * models of which every input is numbers of a fixed shape, and lines that hold nothing but those and an
 * `id`. Any other line is left to the reader of rows, which knows what is wrong with it and says so.
 */
import type { TensorData } from '#core/inference/tensor.ts'
import type { Signature } from '#schemas/signature.ts'
import { numberReader, type ReadNumber } from './numbers.ts'

export type PlainReader = {
  /**
   * Reads the line at `at` as the given row of the columns, and returns where the next line starts; -1
   * when it is not plain. The bytes end with a newline.
   */
  read(bytes: Buffer, at: number, columns: readonly TensorData[], row: number): number
  /** JSON of the last line's id. */
  readonly id: string | null
}
type Input = { key: Uint8Array; read: ReadNumber; shape: number[]; count: number }

const INPUTS_MAX = 31
const ID_DIGITS_MAX = 15
const ID = new TextEncoder().encode('id')

/** Null for a model whose rows have no such form. */
export function plainReader(signature: Signature): PlainReader | null {
  const inputs = signature.inputs.map(inputOf)
  if (inputs.length > INPUTS_MAX || !inputs.every(input => input !== null)) return null
  const takesId = signature.inputs.some(({ name }) => name === 'id')
  const all = 2 ** inputs.length - 1
  let id: string | null = null

  function read(bytes: Buffer, from: number, columns: readonly TensorData[], row: number): number {
    id = null
    if (bytes[from] !== 123) return -1
    let seen = 0
    for (let at = spaces(bytes, from + 1), guess = 0; ; guess++) {
      if (bytes[at++] !== 34) return -1
      const which = inputAt(inputs!, bytes, at, guess)
      if (which >= 0) {
        const { key, read, shape, count } = inputs[which]!
        if ((seen & (1 << which)) !== 0) return -1
        seen |= 1 << which
        at = colon(bytes, at + key.length + 1)
        if (at < 0) return -1
        at = array(bytes, at, shape, 0, count, read, columns[which]!, row * count)
      } else if (!takesId && id === null && isKey(bytes, at, ID)) {
        const start = colon(bytes, at + ID.length + 1)
        at = start < 0 ? -1 : endOfId(bytes, start)
        if (at > 0) id = bytes.toString('latin1', start, at)
      } else return -1
      if (at < 0) return -1
      at = spaces(bytes, at)
      if (bytes[at] === 44) at = spaces(bytes, at + 1)
      else if (bytes[at] === 125) {
        at = spaces(bytes, at + 1)
        return seen === all && bytes[at] === 10 ? at + 1 : -1
      } else return -1
    }
  }

  return {
    read,
    get id() {
      return id
    },
  }
}

function inputOf({ name, datatype, shape, batch_axis }: Signature['inputs'][0]): Input | null {
  const read = numberReader(datatype)
  const key = new TextEncoder().encode(name)
  // Such a name is written with escapes, if at all.
  if (key.some(byte => byte < 32 || byte === 34 || byte === 92)) return null
  const own = batch_axis === null ? shape : shape.toSpliced(batch_axis, 1)
  if (!read || batch_axis === null || own.includes(-1)) return null
  const count = own.reduce((product, size) => product * size, 1)
  return count === 0 ? null : { key, read, shape: own, count }
}

/** Inputs come in the order of the signature most often: that one is looked at first. */
function inputAt(inputs: readonly (Input | null)[], bytes: Buffer, at: number, guess: number) {
  if (guess < inputs.length && isKey(bytes, at, inputs[guess]!.key)) return guess
  return inputs.findIndex(input => isKey(bytes, at, input!.key))
}

function isKey(bytes: Buffer, at: number, key: Uint8Array): boolean {
  for (let i = 0; i < key.length; i++) if (bytes[at + i] !== key[i]) return false
  return bytes[at + key.length] === 34
}

/** Behind the colon at `at` and what surrounds it; -1: there is none. */
function colon(bytes: Buffer, from: number): number {
  const at = spaces(bytes, from)
  return bytes[at] === 58 ? spaces(bytes, at + 1) : -1
}

function spaces(bytes: Buffer, at: number): number {
  while (bytes[at] === 32 || bytes[at] === 9 || bytes[at] === 13) at++
  return at
}

/** Values nested as the shape is, or flat; behind the last bracket, or -1. */
function array(
  bytes: Buffer,
  at: number,
  shape: readonly number[],
  depth: number,
  count: number,
  read: ReadNumber,
  target: TensorData,
  index: number,
): number {
  if (depth === shape.length) return read(bytes, at, target, index)
  if (bytes[at] !== 91) return -1
  at = spaces(bytes, at + 1)
  const isFlat = bytes[at] !== 91
  // Flat is all of it at once, at the outermost level.
  if (isFlat && depth > 0 && depth < shape.length - 1) return -1
  const items = isFlat ? count : shape[depth]!
  const each = count / items
  for (let i = 0; ; ) {
    at = isFlat
      ? read(bytes, at, target, index + i)
      : array(bytes, at, shape, depth + 1, each, read, target, index + i * each)
    if (at < 0) return -1
    at = spaces(bytes, at)
    const isLast = ++i === items
    if (bytes[at++] !== (isLast ? 93 : 44)) return -1
    if (isLast) return at
    at = spaces(bytes, at)
  }
}

/** Behind a text of plain characters or an integer; -1: it is another kind of id. */
function endOfId(bytes: Buffer, from: number): number {
  let at = from
  if (bytes[at] === 34) {
    for (at++; bytes[at] !== 34; at++) {
      const byte = bytes[at]!
      if (byte < 32 || byte > 126 || byte === 92) return -1
    }
    return at + 1
  }
  while (bytes[at]! >= 48 && bytes[at]! <= 57) at++
  const digits = at - from
  if (digits === 0 || digits > ID_DIGITS_MAX || (digits > 1 && bytes[from] === 48)) return -1
  return at
}
