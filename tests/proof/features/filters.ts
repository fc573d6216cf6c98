/** Filters by chance: the text that a builder would write, and what it means, said a second time. */
import type { Value } from '#schemas/event.ts'
import type { Random } from '../../chaos/random.ts'

export type Filter = { text: string; means(data: Record<string, Value>): boolean | null }

type Literal = { text: string; compare(value: Value): number }

/** Literals with the sign of (field - literal), told without floating point where the field is exact. */
const LITERALS: Record<string, Literal[]> = {
  count: [whole('0'), whole('-5'), whole('9007199254740991'), fraction('1.5', 3n, 2n)],
  amount: [fraction('0', 0n, 1n), fraction('1.5', 150n, 1n), fraction('-0.505', -505n, 10n)],
  ratio: [double('0'), double('0.1'), double('0.3'), double('1e16')],
}
const TEXTS = ['DE', '', "it's", '😀', '\ue000']

function whole(text: string): Literal {
  return { text, compare: value => sign(BigInt(value as number) - BigInt(text)) }
}
/** Of the field's stored whole number: numerator / denominator. */
function fraction(text: string, numerator: bigint, denominator: bigint): Literal {
  return { text, compare: value => sign(BigInt(value as number) * denominator - numerator) }
}
function double(text: string): Literal {
  return { text, compare: value => Math.sign(Number(value) - Number(text)) }
}
function sign(value: bigint): number {
  return value === 0n ? 0 : value < 0n ? -1 : 1
}

const OPERATORS: Record<string, (order: number) => boolean> = {
  '=': order => order === 0,
  '!=': order => order !== 0,
  '<': order => order < 0,
  '<=': order => order <= 0,
  '>': order => order > 0,
  '>=': order => order >= 0,
}

export function filterOf(random: Random, depth: number): Filter {
  const chance = random.next()
  if (depth > 0 && chance < 0.2) return not(filterOf(random, depth - 1))
  if (depth > 0 && chance < 0.6) {
    const [a, b] = [filterOf(random, depth - 1), filterOf(random, depth - 1)]
    return random.next() < 0.5 ? both(a, b) : either(a, b)
  }
  return leafOf(random)
}

function leafOf(random: Random): Filter {
  const kind = random.int(0, 4)
  const op = random.pick(Object.keys(OPERATORS))
  const holds = OPERATORS[op]!
  if (kind === 0) {
    const word = random.pick(TEXTS)
    const order = (value: Value) => Buffer.compare(Buffer.from(value as string), Buffer.from(word))
    return leaf(`country ${op} ${quoted(word)}`, 'country', value => holds(order(value)))
  }
  if (kind === 1) {
    const words = [random.pick(TEXTS), random.pick(TEXTS)]
    const text = `country in (${words.map(quoted).join(', ')})`
    return leaf(text, 'country', value => words.includes(value as string))
  }
  if (kind === 2) return leaf('online', 'online', value => value === true)
  if (kind === 3) {
    const name = random.pick(['count', 'country', 'shop'])
    return { text: `${name} is not null`, means: data => (data[name] ?? null) !== null }
  }
  const name = random.pick(Object.keys(LITERALS))
  const literal = random.pick(LITERALS[name]!)
  return leaf(`${name} ${op} ${literal.text}`, name, value => holds(literal.compare(value)))
}

function leaf(text: string, field: string, holds: (value: Value) => boolean): Filter {
  return {
    text,
    means(data) {
      const value = data[field] ?? null
      return value === null ? null : holds(value)
    },
  }
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", "''")}'`
}

function not(a: Filter): Filter {
  return {
    text: `not (${a.text})`,
    means(data) {
      const value = a.means(data)
      return value === null ? null : !value
    },
  }
}

function both(a: Filter, b: Filter): Filter {
  return {
    text: `(${a.text}) and (${b.text})`,
    means(data) {
      const values = [a.means(data), b.means(data)]
      if (values.includes(false)) return false
      return values.includes(null) ? null : true
    },
  }
}

function either(a: Filter, b: Filter): Filter {
  return {
    text: `(${a.text}) or (${b.text})`,
    means(data) {
      const values = [a.means(data), b.means(data)]
      if (values.includes(true)) return true
      return values.includes(null) ? null : false
    },
  }
}
