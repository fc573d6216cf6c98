/** Whether the checks of a contract can be held to its fields: told when it is declared, with what would be right. */
import { AppError } from '#core/error.ts'
import type { Check, EventType, Field } from '#schemas/event.ts'
import { storedValue } from '../value.ts'

const NUMBERS = ['int', 'decimal', 'float']
const MEMBERS = ['int', 'decimal', 'string']

/** Throws `invalid_definition` for the name of a type that the platform itself sends. */
export function mustNotBeOurs(type: string): void {
  if (!type.startsWith('galley.')) return
  throw new AppError('invalid_definition', {
    public: `Types whose names begin with "galley." are sent by the platform; "${type}" needs another name.`,
  })
}

/** Throws `invalid_definition` with a pointer to the check. */
export function mustFit({ checks = {}, fields, type }: EventType): void {
  for (const [name, check] of Object.entries(checks)) {
    const at = `/checks/${name}`
    const named = 'field' in check ? [check.field] : 'fields' in check ? check.fields : []
    for (const field of named) {
      if (Object.hasOwn(fields, field)) continue
      const known = Object.keys(fields).slice(0, 20).join(', ')
      throw wrongAt(at, `${type} has no field "${field}"; it has ${known}.`)
    }
    mustMakeSense(at, check, fields)
  }
}

function mustMakeSense(at: string, check: Check, fields: Record<string, Field>): void {
  switch (check.kind) {
    case 'null_rate': {
      const field = fields[check.field]!
      if (field.optional || field.default !== undefined) return
      throw wrongAt(at, `"${check.field}" is never null: events without it are refused.`)
    }
    case 'range': {
      const field = fields[check.field]!
      if (!NUMBERS.includes(field.type)) {
        throw wrongAt(at, `A range is of numbers; "${check.field}" is ${field.type}.`)
      }
      mustBeBounds(at, check)
      for (const bound of [check.min, check.max]) mustBeValue(at, field, bound)
      return
    }
    case 'set': {
      const field = fields[check.field]!
      if (!MEMBERS.includes(field.type)) {
        const right = `an int, a decimal or a string`
        throw wrongAt(at, `A set is of ${right}; "${check.field}" is ${field.type}.`)
      }
      for (const value of check.values) mustBeValue(at, field, value)
      return
    }
    case 'volume':
      mustBeBounds(at, check)
      return
    case 'uniqueness':
    case 'freshness':
      return
  }
}

function mustBeBounds(at: string, { min, max }: { min?: number; max?: number }): void {
  if (min === undefined && max === undefined) throw wrongAt(at, 'It needs min, max or both.')
  if (min !== undefined && max !== undefined && min > max) {
    throw wrongAt(at, `min is ${min}, which is more than max, ${max}: nothing could pass.`)
  }
}

function mustBeValue(at: string, field: Field, value: string | number | undefined): void {
  if (value === undefined) return
  const { type, scale } = field
  const found = storedValue({ type, ...(scale !== undefined && { scale }) }, value)
  if (typeof found !== 'object') return
  throw wrongAt(at, `${JSON.stringify(value)} is no value of the field: ${found.detail}`)
}

function wrongAt(pointer: string, detail: string): AppError {
  return new AppError('invalid_definition', { public: detail, errors: [{ pointer, detail }] })
}
