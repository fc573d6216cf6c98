/**
 * From text to a typed tree, by recursive descent. From the loosest to the tightest: or, and, not,
 * comparison / in / is null, + -, * / %, unary -, then literals, names, calls and brackets.
 */
import type { ValueType } from '#schemas/feature.ts'
import { type Token, tokensOf } from './lexer.ts'
import { literal, numberLiteral } from './literal.ts'
import {
  COMPARISONS,
  type Comparison,
  type Expression,
  FUNCTIONS,
  type FunctionName,
  type Literal,
  wrong,
} from './tree.ts'
import { arithmeticType, callType, comparable, logical, numeric } from './typing.ts'

/** What names mean: `amount`, `view.feature`, `request.field`, `score`. */
export type Scope = Record<string, ValueType>

const LENGTH_MAX = 2_000
const DEPTH_MAX = 60

/** Throws `invalid_definition` that says what is wrong and where. */
export function parseExpression(text: string, scope: Scope): Expression {
  if (text.length > LENGTH_MAX) {
    throw wrong(
      `${text.slice(0, 40)}…`,
      LENGTH_MAX,
      `An expression has at most ${LENGTH_MAX} characters`,
    )
  }
  return new Parser(text, scope).whole()
}

class Parser {
  readonly #text: string
  readonly #scope: Scope
  readonly #tokens: Token[]
  #next = 0
  #depth = 0

  constructor(text: string, scope: Scope) {
    this.#text = text
    this.#scope = scope
    this.#tokens = tokensOf(text)
  }

  whole(): Expression {
    const expression = this.#or()
    if (this.#token.kind !== 'end') throw this.#unexpected('an operator or the end')
    return expression
  }

  get #token(): Token {
    return this.#tokens[this.#next]!
  }

  #take(...texts: string[]): Token | null {
    const token = this.#token
    const isIt = (token.kind === 'symbol' || token.kind === 'word') && texts.includes(token.text)
    if (isIt) this.#next++
    return isIt ? token : null
  }

  #need(text: string): void {
    if (!this.#take(text)) throw this.#unexpected(`"${text}"`)
  }

  #unexpected(wanted: string): Error {
    const { kind, text, at } = this.#token
    const found = kind === 'end' ? 'it ends' : `there is "${text}"`
    return wrong(this.#text, at, `Here ${wanted} is expected, but ${found}`)
  }

  #or(): Expression {
    let left = this.#and()
    for (let token = this.#take('or'); token; token = this.#take('or')) {
      left = this.#logic('or', left, this.#and(), token.at)
    }
    return left
  }

  #and(): Expression {
    let left = this.#not()
    for (let token = this.#take('and'); token; token = this.#take('and')) {
      left = this.#logic('and', left, this.#not(), token.at)
    }
    return left
  }

  #logic(kind: 'and' | 'or', left: Expression, right: Expression, at: number): Expression {
    for (const side of [left, right]) logical(this.#text, side, kind)
    return { kind, left, right, of: { type: 'bool' }, at }
  }

  #not(): Expression {
    const token = this.#take('not')
    if (!token) return this.#comparison()
    const operand = this.#deeper(() => this.#not())
    logical(this.#text, operand, 'not')
    return { kind: 'not', operand, of: { type: 'bool' }, at: token.at }
  }

  #comparison(): Expression {
    const left = this.#sum()
    const symbol = this.#take(...COMPARISONS)
    if (symbol) return this.#compared(left, symbol)
    const is = this.#take('is')
    if (is) {
      const negated = this.#take('not') !== null
      this.#need('null')
      return { kind: 'isNull', operand: left, negated, of: { type: 'bool' }, at: is.at }
    }
    const negated = this.#tokens[this.#next + 1]?.text === 'in' && this.#take('not') !== null
    const within = this.#take('in')
    return within ? this.#oneOf(left, within.at, negated) : left
  }

  #compared(left: Expression, { text, at }: Token): Expression {
    const op = text as Comparison
    const sides = comparable(this.#text, left, this.#sum(), op, at)
    return { kind: 'compare', op, ...sides, of: { type: 'bool' }, at }
  }

  #oneOf(operand: Expression, at: number, negated: boolean): Expression {
    this.#need('(')
    const items: Literal[] = []
    do {
      const item = this.#unary()
      if (item.kind !== 'literal') throw wrong(this.#text, item.at, '"in" takes a list of literals')
      const { right } = comparable(this.#text, operand, item, '=', item.at)
      items.push(right as Literal)
    } while (this.#take(','))
    this.#need(')')
    return { kind: 'in', operand, items, negated, of: { type: 'bool' }, at }
  }

  #sum(): Expression {
    let left = this.#product()
    for (let token = this.#take('+', '-'); token; token = this.#take('+', '-')) {
      left = this.#arithmetic(token, left, this.#product())
    }
    return left
  }

  #product(): Expression {
    let left = this.#unary()
    for (let token = this.#take('*', '/', '%'); token; token = this.#take('*', '/', '%')) {
      left = this.#arithmetic(token, left, this.#unary())
    }
    return left
  }

  #arithmetic({ text, at }: Token, left: Expression, right: Expression): Expression {
    const op = text as '+' | '-' | '*' | '/' | '%'
    return {
      kind: 'arithmetic',
      op,
      left,
      right,
      of: arithmeticType(this.#text, op, left, right),
      at,
    }
  }

  #unary(): Expression {
    const token = this.#take('-')
    if (!token) return this.#primary()
    const operand = this.#deeper(() => this.#unary())
    numeric(this.#text, operand, '-')
    if (operand.kind === 'literal') {
      return {
        ...operand,
        value: operand.value === null ? null : -(operand.value as number) || 0,
        at: token.at,
      }
    }
    return { kind: 'negate', operand, of: operand.of, at: token.at }
  }

  #primary(): Expression {
    const token = this.#token
    const { at, text } = token
    if (this.#take('(')) {
      const inner = this.#deeper(() => this.#or())
      this.#need(')')
      return inner
    }
    if (token.kind === 'end' || token.kind === 'symbol') throw this.#unexpected('a value')
    this.#next++
    if (token.kind === 'number') return numberLiteral(this.#text, text, at)
    if (token.kind === 'string') return literal(text, { type: 'string' }, at)
    if (token.kind === 'word') return this.#word(token)
    if (this.#take('(')) return this.#call(token)
    const of = Object.hasOwn(this.#scope, text) ? this.#scope[text] : undefined
    if (!of) throw wrong(this.#text, at, unknownName(text, this.#scope))
    return { kind: 'name', name: text, of, at }
  }

  #word({ text, at }: Token): Expression {
    if (text === 'true' || text === 'false') return literal(text === 'true', { type: 'bool' }, at)
    if (text === 'null') return literal(null, { type: 'null' }, at)
    throw wrong(this.#text, at, `Here a value is expected, but there is "${text}"`)
  }

  #call({ text, at }: Token): Expression {
    if (!Object.hasOwn(FUNCTIONS, text)) {
      const known = Object.keys(FUNCTIONS).join(', ')
      throw wrong(this.#text, at, `There is no function ${text}; there are ${known}`)
    }
    const name = text as FunctionName
    const args: Expression[] = []
    do args.push(this.#deeper(() => this.#or()))
    while (this.#take(','))
    this.#need(')')
    const { args: typed, of } = callType(this.#text, name, args, at)
    return { kind: 'call', name, args: typed, of, at }
  }

  #deeper<T>(work: () => T): T {
    if (++this.#depth > DEPTH_MAX) {
      throw wrong(this.#text, this.#token.at, `An expression is nested at most ${DEPTH_MAX} deep`)
    }
    const result = work()
    this.#depth--
    return result
  }
}

function unknownName(name: string, scope: Scope): string {
  const known = Object.keys(scope)
  const listed = known.slice(0, 12).join(', ')
  return `There is no ${name} here; there ${known.length === 0 ? 'are no names' : `are ${listed}${known.length > 12 ? ', …' : ''}`}`
}
