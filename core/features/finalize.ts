/**
 * From what was seen to the value of a feature. Both ways of computing a feature, over the events of one
 * entity and by SQL over all of them, give the same intermediate result, and end here.
 */
import type { Value } from '#schemas/event.ts'
import type { FeaturePlan, FeatureValue, Status } from '#schemas/feature.ts'
import { compareText } from './compare.ts'
import { ExactSum } from './exact-sum.ts'
import { nearest, UNIT_BITS } from './rounding.ts'

/** Intermediate results. `n` counts events, `nonNull` those whose field is there. */
export type Ir = { n: number; older?: boolean } & Partial<{
  nonNull: number
  /** Of ints and unscaled decimals. */
  sum: bigint
  squares: bigint
  /** Of floats. */
  exact: ExactSum
  /** Of min, max, last and first. */
  value: Value
  /** Of last_k, the newest first. */
  values: Value[]
  /** Of distinct. */
  count: number
}>

export type Accumulator = {
  /** Takes the field's value of the next event; events come in the order of (event_time, known_at, seq). */
  add(value: Value): void
  ir(): Ir
}

/** An accumulator for one feature of one entity at one time. */
export function accumulator(feature: FeaturePlan): Accumulator {
  switch (feature.aggregate) {
    case 'count':
      return new Counting()
    case 'sum':
    case 'avg':
      return feature.ofType!.type === 'float' ? new Floats() : new Integers()
    case 'var':
      return new Squares()
    case 'min':
    case 'max':
      return new Extreme(feature.aggregate === 'max')
    case 'last':
      return new Latest()
    case 'first':
      return new Earliest()
    case 'last_k':
      return new LatestFew(feature.k!)
    case 'distinct':
      return new Distinct()
  }
}

/** The value and its status. A sum that no safe integer holds is given as the digits of the integer. */
export function finalize(feature: FeaturePlan, ir: Ir): { value: FeatureValue; status: Status } {
  const { aggregate } = feature
  if (aggregate === 'count') return { value: ir.n, status: 'PRESENT' }
  if (aggregate === 'distinct') return { value: ir.count!, status: 'PRESENT' }
  if (ir.n === 0) return { value: null, status: ir.older ? 'OUTSIDE_MAX_AGE' : 'NOT_FOUND' }
  const value = aggregate === 'last_k' ? ir.values! : scalarOf(feature, ir)
  return { value, status: value === null ? 'NULL_VALUE' : 'PRESENT' }
}

function scalarOf(feature: FeaturePlan, ir: Ir): Value {
  const { aggregate } = feature
  const isSum = aggregate === 'sum' || aggregate === 'avg' || aggregate === 'var'
  if (!isSum) return ir.value!
  if (ir.nonNull === 0) return null
  const n = BigInt(ir.nonNull!)
  if (ir.exact) {
    const divisor = (aggregate === 'avg' ? n : 1n) << BigInt(UNIT_BITS)
    return finite(nearest(ir.exact.units(), divisor))
  }
  const sum = ir.sum!
  if (aggregate === 'sum') return integer(sum)
  const unit = 10n ** BigInt(feature.ofType!.scale ?? 0)
  if (aggregate === 'avg') return nearest(sum, n * unit)
  // Population variance: the mean of squares less the square of the mean, as one fraction.
  return finite(nearest(n * ir.squares! - sum * sum, n * n * unit * unit))
}

function integer(value: bigint): number | string {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value.toString()
}

/** A sum beyond all doubles has no value. */
function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null
}

class Counting implements Accumulator {
  #n = 0
  add(): void {
    this.#n++
  }
  ir(): Ir {
    return { n: this.#n }
  }
}

class Integers implements Accumulator {
  #n = 0
  #nonNull = 0
  #small = 0
  #large = 0n
  add(value: Value): void {
    this.#n++
    if (value === null) return
    this.#nonNull++
    const sum = this.#small + (value as number)
    if (Number.isSafeInteger(sum)) this.#small = sum
    else {
      this.#large += BigInt(this.#small) + BigInt(value as number)
      this.#small = 0
    }
  }
  ir(): Ir {
    return { n: this.#n, nonNull: this.#nonNull, sum: this.#large + BigInt(this.#small) }
  }
}

class Floats implements Accumulator {
  #n = 0
  #nonNull = 0
  readonly #exact = new ExactSum()
  add(value: Value): void {
    this.#n++
    if (value === null) return
    this.#nonNull++
    this.#exact.add(value as number)
  }
  ir(): Ir {
    return { n: this.#n, nonNull: this.#nonNull, exact: this.#exact }
  }
}

class Squares implements Accumulator {
  readonly #values = new Integers()
  readonly #squares = new Integers()
  #large = 0n
  add(value: Value): void {
    this.#values.add(value)
    if (value === null) return
    const square = (value as number) ** 2
    if (Number.isSafeInteger(square)) this.#squares.add(square)
    else this.#large += BigInt(value as number) ** 2n
  }
  ir(): Ir {
    return { ...this.#values.ir(), squares: this.#squares.ir().sum! + this.#large }
  }
}

class Extreme implements Accumulator {
  #n = 0
  #value: Value = null
  readonly #isMax: boolean
  constructor(isMax: boolean) {
    this.#isMax = isMax
  }
  add(value: Value): void {
    this.#n++
    if (value === null) return
    const isBetter =
      this.#value === null ||
      (this.#isMax ? orderOf(value, this.#value) > 0 : orderOf(value, this.#value) < 0)
    if (isBetter) this.#value = value
  }
  ir(): Ir {
    return { n: this.#n, value: this.#value }
  }
}

function orderOf(a: Value, b: Value): number {
  if (typeof a === 'string') return compareText(a, b as string)
  return Number(a) - Number(b)
}

class Latest implements Accumulator {
  #n = 0
  #value: Value = null
  add(value: Value): void {
    this.#n++
    this.#value = value
  }
  ir(): Ir {
    return { n: this.#n, value: this.#value }
  }
}

class Earliest implements Accumulator {
  #n = 0
  #value: Value = null
  add(value: Value): void {
    if (this.#n++ === 0) this.#value = value
  }
  ir(): Ir {
    return { n: this.#n, value: this.#value }
  }
}

class LatestFew implements Accumulator {
  #n = 0
  readonly #values: Value[] = []
  readonly #k: number
  constructor(k: number) {
    this.#k = k
  }
  add(value: Value): void {
    this.#n++
    this.#values.push(value)
    if (this.#values.length > this.#k) this.#values.shift()
  }
  ir(): Ir {
    return { n: this.#n, values: this.#values.toReversed() }
  }
}

class Distinct implements Accumulator {
  #n = 0
  readonly #values = new Set<Value>()
  add(value: Value): void {
    this.#n++
    if (value !== null) this.#values.add(value)
  }
  ir(): Ir {
    return { n: this.#n, count: this.#values.size }
  }
}
