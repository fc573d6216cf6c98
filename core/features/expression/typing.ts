/** Which types go together, and what comes out. Mistakes are told when a definition is written. */
import {
  type Comparison,
  type Expression,
  FUNCTIONS,
  type FunctionName,
  isExact,
  isNumber,
  type Literal,
  nameOf,
  type Type,
  wrong,
} from './tree.ts'

const FLOAT: Type = { type: 'float' }

export function logical(text: string, { of, at }: Expression, by: string): void {
  if (of.list || (of.type !== 'bool' && of.type !== 'null')) {
    throw wrong(text, at, `"${by}" takes conditions, and this is ${nameOf(of)}`)
  }
}

export function numeric(text: string, { of, at }: Expression, by: string): void {
  if (!isNumber(of) && of.type !== 'null') {
    throw wrong(text, at, `"${by}" takes numbers, and this is ${nameOf(of)}`)
  }
}

/** Arithmetic is done in doubles, in units: 12.34 is twelve and a bit. */
export function arithmeticType(
  text: string,
  op: string,
  left: Expression,
  right: Expression,
): Type {
  for (const side of [left, right]) numeric(text, side, op)
  return FLOAT
}

/** The sides of a comparison; a text beside a time is read as one. */
export function comparable(
  text: string,
  left: Expression,
  right: Expression,
  op: Comparison,
  at: number,
): { left: Expression; right: Expression } {
  const sides = { left: asTime(text, left, right.of), right: asTime(text, right, left.of) }
  const [a, b] = [sides.left.of, sides.right.of]
  if (a.type === 'null' || b.type === 'null') {
    throw wrong(text, at, 'A comparison with null is never true; write "is null" or "is not null"')
  }
  const isAlike = !a.list && !b.list && (a.type === b.type || (isNumber(a) && isNumber(b)))
  if (!isAlike) throw wrong(text, at, `${nameOf(a)} and ${nameOf(b)} cannot be compared`)
  if (a.type === 'bool' && op !== '=' && op !== '!=') {
    throw wrong(text, at, 'Conditions are compared by = and != only')
  }
  return sides
}

function asTime(text: string, side: Expression, other: Type): Expression {
  if (other.type !== 'time' || side.kind !== 'literal' || typeof side.value !== 'string')
    return side
  const ms = Date.parse(side.value)
  if (Number.isNaN(ms))
    throw wrong(text, side.at, `"${side.value}" is no time; write 2026-01-31T00:00:00Z`)
  return { ...side, value: ms * 1_000, of: { type: 'time' } }
}

/** The arguments of a call, fitted to each other where they must be, and the type of its result. */
export function callType(
  text: string,
  name: FunctionName,
  args: Expression[],
  at: number,
): { args: Expression[]; of: Type } {
  const { from, to } = FUNCTIONS[name]
  if (args.length < from || args.length > to) {
    const count = from === to ? `${from}` : `${from} to ${to}`
    throw wrong(text, at, `${name} takes ${count} values, and here are ${args.length}`)
  }
  switch (name) {
    case 'if': {
      logical(text, args[0]!, 'if')
      const { args: fitted, of } = unified(text, name, args.slice(1))
      return { args: [args[0]!, ...fitted], of }
    }
    case 'coalesce':
      return unified(text, name, args)
    case 'length':
    case 'lower':
      if (args[0]!.of.type !== 'string' || args[0]!.of.list) {
        throw wrong(text, args[0]!.at, `${name} takes a text, and this is ${nameOf(args[0]!.of)}`)
      }
      return { args, of: name === 'length' ? { type: 'int' } : { type: 'string' } }
    default:
      for (const arg of args) numeric(text, arg, name)
      return { args, of: FLOAT }
  }
}

/** One type for alternatives: their own where it is one, a decimal's where whole literals fit, else float. */
function unified(text: string, name: string, args: Expression[]): { args: Expression[]; of: Type } {
  const known = args.filter(({ of }) => of.type !== 'null')
  const first = known[0]?.of ?? ({ type: 'null' } as Type)
  const odd = known.find(
    ({ of }) => of.list || !(of.type === first.type || (isNumber(of) && isNumber(first))),
  )
  if (first.list || odd) {
    const { at, of } = odd ?? known[0]!
    throw wrong(
      text,
      at,
      `The values of ${name} must be of one type: ${nameOf(first)} and ${nameOf(of)}`,
    )
  }
  if (!isNumber(first)) return { args, of: first }
  if (known.some(({ of }) => of.type === 'float')) return { args, of: FLOAT }
  const named = known.filter(({ kind }) => kind !== 'literal')
  const scales = new Set((named.length > 0 ? named : known).map(({ of }) => of.scale ?? 0))
  const [scale = 0] = scales
  const fit = args.map(arg => (arg.kind === 'literal' ? rescaled(arg, scale) : arg))
  if (scales.size > 1 || fit.includes(null)) return { args, of: FLOAT }
  return {
    args: fit as Expression[],
    of: scale === 0 ? { type: 'int' } : { type: 'decimal', scale },
  }
}

/** A literal at another scale; null where it does not fit without rounding. */
export function rescaled(literal: Literal, scale: number): Literal | null {
  if (literal.value === null) return literal
  if (!isExact(literal.of)) return null
  const value = (literal.value as number) * 10 ** (scale - (literal.of.scale ?? 0))
  if (!Number.isSafeInteger(value)) return null
  return { ...literal, value, of: scale === 0 ? { type: 'int' } : { type: 'decimal', scale } }
}
