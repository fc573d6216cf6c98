/** The tree of an expression, with the type of every node. */
import { AppError } from '#core/error.ts'
import type { FieldType, Value } from '#schemas/event.ts'
import type { ValueType } from '#schemas/feature.ts'

/** The type of a node. `null` is the literal, which fits everywhere. */
export type Type = { type: FieldType | 'null'; scale?: number; list?: true }

export const COMPARISONS = ['=', '!=', '<', '<=', '>', '>='] as const
export type Comparison = (typeof COMPARISONS)[number]
export const FUNCTIONS = {
  abs: { from: 1, to: 1 },
  min: { from: 2, to: 16 },
  max: { from: 2, to: 16 },
  coalesce: { from: 2, to: 16 },
  if: { from: 3, to: 3 },
  log: { from: 1, to: 1 },
  floor: { from: 1, to: 1 },
  ceil: { from: 1, to: 1 },
  round: { from: 1, to: 1 },
  length: { from: 1, to: 1 },
  lower: { from: 1, to: 1 },
} as const
export type FunctionName = keyof typeof FUNCTIONS

type Node = { of: Type; at: number }
export type Literal = Node & { kind: 'literal'; value: Value }
export type Expression =
  | Literal
  | (Node & { kind: 'name'; name: string })
  | (Node & { kind: 'negate'; operand: Expression })
  | (Node & {
      kind: 'arithmetic'
      op: '+' | '-' | '*' | '/' | '%'
      left: Expression
      right: Expression
    })
  | (Node & { kind: 'compare'; op: Comparison; left: Expression; right: Expression })
  | (Node & { kind: 'in'; operand: Expression; items: Literal[]; negated: boolean })
  | (Node & { kind: 'isNull'; operand: Expression; negated: boolean })
  | (Node & { kind: 'not'; operand: Expression })
  | (Node & { kind: 'and' | 'or'; left: Expression; right: Expression })
  | (Node & { kind: 'call'; name: FunctionName; args: Expression[] })

/** What the builder is told: what is wrong, and where. `at` counts characters from 0. */
export function wrong(text: string, at: number, says: string): AppError {
  return new AppError('invalid_definition', {
    public: `${says} (at character ${at + 1} of "${text}")`,
  })
}

/** The names that an expression uses. */
export function namesOf(e: Expression): string[] {
  switch (e.kind) {
    case 'literal':
      return []
    case 'name':
      return [e.name]
    case 'negate':
    case 'in':
    case 'isNull':
    case 'not':
      return namesOf(e.operand)
    case 'call':
      return e.args.flatMap(namesOf)
    default:
      return [...namesOf(e.left), ...namesOf(e.right)]
  }
}

export function isExact({ type }: Type): boolean {
  return type === 'int' || type === 'decimal'
}

export function isNumber(type: Type): boolean {
  return !type.list && (isExact(type) || type.type === 'float')
}

/** As users write it: `decimal(2)`, `list of string`. */
export function nameOf({ type, scale, list }: Type | ValueType): string {
  const name = type === 'decimal' ? `decimal(${scale ?? 0})` : type
  return list ? `list of ${name}` : name
}
