/**
 * Checks of a segment: all of them in one pass over its events, as SQL for DuckDB, and what follows from
 * the numbers that it gives.
 */
import { sqlText } from '#core/sql-text.ts'
import type { Check, EventType } from '#schemas/event.ts'

/** By the check's name; null: there was nothing to be measured. */
export type Measured = Record<string, number | null>
export type Verdict = {
  name: string
  kind: Check['kind']
  value: number | null
  min: number | null
  max: number | null
  ok: boolean
}

/**
 * One row, a column per check that is measured in a file (a relation with the columns of a segment): each
 * event counts once, however many places it has, and what takes events back not at all.
 */
export function measureSql({ checks = {}, fields }: EventType, file: string): string | null {
  const columns = Object.entries(checks).flatMap(([name, check]) => {
    const measured = expressionOf(check, fields)
    return measured === null ? [] : [`(${measured})::double as "${name}"`]
  })
  if (columns.length === 0) return null
  const named = Object.keys(fields).map(name => `any_value(f_${name}) as f_${name}`)
  // any_value passes over nulls, and all rows of an event have the same values.
  return `select ${columns.join(', ')} from (select number, ${named.join(', ')}
    from ${file} where retracts is null group by number)`
}

function expressionOf(check: Check, fields: EventType['fields']): string | null {
  const shareOf = (condition: string, all: string) =>
    `count(*) filter (where ${condition}) / nullif(${all}, 0)::double`
  switch (check.kind) {
    case 'null_rate':
      return shareOf(`f_${check.field} is null`, 'count(*)')
    case 'range': {
      const column = `f_${check.field}`
      const outside = [
        check.min === undefined ? [] : [`${column} < ${check.min}`],
        check.max === undefined ? [] : [`${column} > ${check.max}`],
      ]
      return shareOf(outside.flat().join(' or '), `count(${column})`)
    }
    case 'set': {
      const column = `f_${check.field}`
      const isText = fields[check.field]!.type === 'string'
      const values = check.values.map(v => (isText ? sqlText(String(v)) : String(v)))
      return shareOf(`${column} not in (${values.join(', ')})`, `count(${column})`)
    }
    case 'uniqueness': {
      const columns = check.fields.map(field => `f_${field}`)
      const one = columns.length === 1 ? columns[0] : `row(${columns.join(', ')})`
      return `count(distinct ${one}) / nullif(count(${one}), 0)::double`
    }
    case 'volume':
    case 'freshness':
      return null
  }
}

/** Of a segment: what its own events say. */
export function verdictsOf({ checks = {} }: EventType, measured: Measured): Verdict[] {
  return Object.entries(checks).flatMap(([name, check]) => {
    const value = measured[name]
    const bounds = boundsIn(check)
    return value === undefined || bounds === null ? [] : [judged(name, check.kind, value, bounds)]
  })
}

/** Null: it is of an hour and not of a segment. */
function boundsIn(check: Check): { min?: number; max?: number } | null {
  switch (check.kind) {
    case 'null_rate':
      return { max: check.max }
    case 'range':
    case 'set':
      return { max: check.max_share }
    case 'uniqueness':
      return { min: check.min }
    case 'volume':
    case 'freshness':
      return null
  }
}

export type Hour = {
  events: number
  /** Unix milliseconds. */
  end: number
  /** Microseconds: of the newest event until then; null: there has never been one. */
  newest: number | null
}

/** Of an hour that is over, also of one without events. */
export function hourVerdictsOf({ checks = {} }: EventType, hour: Hour): Verdict[] {
  return Object.entries(checks).flatMap(([name, check]): Verdict[] => {
    if (check.kind === 'volume') return [judged(name, check.kind, hour.events, check)]
    if (check.kind !== 'freshness') return []
    const { newest, end } = hour
    const ageS = newest === null ? null : Math.max(0, end - newest / 1_000) / 1_000
    return [judged(name, check.kind, ageS, { max: check.max_s })]
  })
}

function judged(
  name: string,
  kind: Check['kind'],
  value: number | null,
  { min = null, max = null }: { min?: number | null; max?: number | null },
): Verdict {
  const ok = value === null || ((min === null || value >= min) && (max === null || value <= max))
  return { name, kind, value, min, max, ok }
}
