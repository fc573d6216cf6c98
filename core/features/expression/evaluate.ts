/**
 * Expressions as closures, made once and run per row. Values come and go in stored form; numbers become
 * doubles in units only where arithmetic or a float is involved.
 */
import type { Value } from '#schemas/event.ts'
import { compareScaled, compareText } from '../compare.ts'
import { type Comparison, type Expression, type FunctionName, isExact, isNumber } from './tree.ts'

/** How a name is read from what a row is; made once per name. */
export type Read<Row> = (name: string) => (row: Row) => Value
export type Run<Row> = (row: Row) => Value

type Number_ = number | null

/** The value of the expression on a row, in the stored form of its type. Conditions give true, false or null. */
export function evaluator<Row>(expression: Expression, read: Read<Row>): Run<Row> {
  return run(expression, read)
}

function run<Row>(e: Expression, read: Read<Row>): Run<Row> {
  switch (e.kind) {
    case 'literal': {
      const { value } = e
      return () => value
    }
    case 'name':
      return read(e.name)
    case 'negate': {
      const operand = run(e.operand, read)
      return row => {
        const value = operand(row) as Number_
        return value === null ? null : 0 - value
      }
    }
    case 'arithmetic':
      return arithmetic(e.op, units(e.left, read), units(e.right, read))
    case 'compare':
      return compared(e.op, e.left, e.right, read)
    case 'in':
      return oneOf(e, read)
    case 'isNull': {
      const { negated } = e
      const operand = run(e.operand, read)
      return row => (operand(row) === null) !== negated
    }
    case 'not': {
      const operand = run(e.operand, read)
      return row => {
        const value = operand(row)
        return value === null ? null : !value
      }
    }
    case 'and':
    case 'or':
      return logic(e.kind === 'or', run(e.left, read), run(e.right, read))
    case 'call':
      return called(e, read)
  }
}

/** The value as a double in units; the one rounding of a decimal is that of its division. */
function units<Row>(e: Expression, read: Read<Row>): (row: Row) => Number_ {
  const value = run(e, read) as (row: Row) => Number_
  const scale = e.of.type === 'decimal' ? (e.of.scale ?? 0) : 0
  if (scale === 0) return value
  const divisor = 10 ** scale
  return row => {
    const unscaled = value(row)
    return unscaled === null ? null : unscaled / divisor
  }
}

/** What no double can be (a division by zero, an overflow) is unknown. */
function finite(value: number): Number_ {
  return Number.isFinite(value) ? value + 0 : null
}

const OPERATORS = {
  '+': (a: number, b: number) => a + b,
  '-': (a: number, b: number) => a - b,
  '*': (a: number, b: number) => a * b,
  '/': (a: number, b: number) => a / b,
  '%': (a: number, b: number) => a % b,
}

function arithmetic<Row>(
  op: keyof typeof OPERATORS,
  left: (row: Row) => Number_,
  right: (row: Row) => Number_,
): Run<Row> {
  const apply = OPERATORS[op]
  return row => {
    const a = left(row)
    if (a === null) return null
    const b = right(row)
    return b === null ? null : finite(apply(a, b))
  }
}

const HOLDS: Record<Comparison, (order: number) => boolean> = {
  '=': order => order === 0,
  '!=': order => order !== 0,
  '<': order => order < 0,
  '<=': order => order <= 0,
  '>': order => order > 0,
  '>=': order => order >= 0,
}

function compared<Row>(
  op: Comparison,
  left: Expression,
  right: Expression,
  read: Read<Row>,
): Run<Row> {
  const order = orderOf(left, right, read)
  const holds = HOLDS[op]
  return row => {
    const found = order(row)
    return found === null ? null : holds(found)
  }
}

function orderOf<Row>(left: Expression, right: Expression, read: Read<Row>): (row: Row) => Number_ {
  const isMixed = isNumber(left.of) && !(isExact(left.of) && isExact(right.of))
  const [a, b] = isMixed
    ? [units(left, read), units(right, read)]
    : [run(left, read), run(right, read)]
  const order = comparison(left, right, isMixed)
  return row => {
    const x = a(row)
    if (x === null) return null
    const y = b(row)
    return y === null ? null : order(x, y)
  }
}

function comparison(left: Expression, right: Expression, isMixed: boolean) {
  if (left.of.type === 'string')
    return (x: Value, y: Value) => compareText(x as string, y as string)
  const [scaleX, scaleY] = [left.of.scale ?? 0, right.of.scale ?? 0]
  if (isMixed || scaleX === scaleY) {
    return (x: Value, y: Value) => (x === y ? 0 : (x as number) < (y as number) ? -1 : 1)
  }
  return (x: Value, y: Value) => compareScaled(x as number, scaleX, y as number, scaleY)
}

function oneOf<Row>(e: Extract<Expression, { kind: 'in' }>, read: Read<Row>): Run<Row> {
  const orders = e.items.map(item => orderOf(e.operand, item, read))
  const operand = run(e.operand, read)
  const { negated } = e
  return row => {
    if (operand(row) === null) return null
    return orders.some(order => order(row) === 0) !== negated
  }
}

/** Kleene's three values: whatever an unknown side is, a false one decides "and", a true one "or". */
function logic<Row>(decides: boolean, left: Run<Row>, right: Run<Row>): Run<Row> {
  return row => {
    const a = left(row)
    if (a === decides) return decides
    const b = right(row)
    if (b === decides) return decides
    return a === null || b === null ? null : !decides
  }
}

const ONE: Partial<Record<FunctionName, (x: number) => number>> = {
  abs: Math.abs,
  log: x => (x > 0 ? Math.log(x) : Number.NaN),
  floor: Math.floor,
  ceil: Math.ceil,
  // Halves go away from zero, as people round.
  round: x => Math.sign(x) * Math.round(Math.abs(x)),
}

function called<Row>(e: Extract<Expression, { kind: 'call' }>, read: Read<Row>): Run<Row> {
  const { name, args } = e
  const toFloat = e.of.type === 'float'
  const runs = args.map(arg => (toFloat && isNumber(arg.of) ? units(arg, read) : run(arg, read)))
  if (name === 'if') return row => (runs[0]!(row) === true ? runs[1]!(row) : runs[2]!(row))
  if (name === 'coalesce') return row => firstKnown(runs, row)
  if (name === 'min' || name === 'max') return extreme(name === 'max', runs)
  const [operand] = runs
  if (name === 'length') return row => mapped(operand!(row), text => [...(text as string)].length)
  if (name === 'lower') return row => mapped(operand!(row), text => (text as string).toLowerCase())
  const apply = ONE[name]!
  return row => mapped(operand!(row), value => finite(apply(value as number)))
}

function mapped(value: Value, map: (value: NonNullable<Value>) => Value): Value {
  return value === null ? null : map(value)
}

function firstKnown<Row>(runs: Run<Row>[], row: Row): Value {
  for (const run of runs) {
    const value = run(row)
    if (value !== null) return value
  }
  return null
}

/** Of those that are known; null when none is. */
function extreme<Row>(isMax: boolean, runs: Run<Row>[]): Run<Row> {
  return row => {
    let best: Number_ = null
    for (const run of runs) {
      const value = run(row) as Number_
      if (value !== null && (best === null || (isMax ? value > best : value < best))) best = value
    }
    return best
  }
}
