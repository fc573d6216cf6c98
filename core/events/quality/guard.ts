/** Checks that one event decides by itself: at the edge, beside what the fields say. */
import type { FieldError } from '#core/error.ts'
import type { Check, Event, EventType, Field, Value } from '#schemas/event.ts'
import { storedValue } from '../value.ts'

type Guard = { field: string; says: string; isGood(value: Exclude<Value, null>): boolean }

/** Made once for each contract: an edge checks thousands of events by it. */
const known = new WeakMap<EventType, Guard[]>()

export function guarded(type: EventType, data: Event['data']): FieldError[] {
  if (!type.checks) return []
  const guards = known.get(type) ?? guardsOf(type)
  known.set(type, guards)
  return guards.flatMap(({ field, says, isGood }) => {
    const value = data[field] ?? null
    return value === null || isGood(value) ? [] : [{ pointer: `/data/${field}`, detail: says }]
  })
}

function guardsOf({ checks = {}, fields }: EventType): Guard[] {
  return Object.entries(checks).flatMap(([name, check]): Guard[] => {
    if (!('severity' in check) || check.severity !== 'reject') return []
    const stored = storedIn(fields[check.field]!)
    return [
      { field: check.field, says: `${name}: ${wordsOf(check)}`, isGood: testOf(check, stored) },
    ]
  })
}

function testOf(check: Check, stored: (value: string | number) => Value): Guard['isGood'] {
  if (check.kind === 'set') {
    const values = new Set<Value>(check.values.map(stored))
    return value => values.has(value)
  }
  const { min, max } = check as Extract<Check, { kind: 'range' }>
  const [low, high] = [min, max].map(bound => (bound === undefined ? null : stored(bound)))
  return value =>
    (low === null || low === undefined || value >= low) &&
    (high === null || high === undefined || value <= high)
}

/** A bound as values are stored: of a decimal, the whole number of its last digit. */
function storedIn({ type, scale }: Field) {
  const bare: Field = { type, ...(scale !== undefined && { scale }) }
  return (value: string | number): Value => {
    const found = storedValue(bare, value)
    return typeof found === 'object' ? null : found
  }
}

function wordsOf(check: Check): string {
  if (check.kind === 'set') return `it must be one of ${check.values.slice(0, 20).join(', ')}.`
  const { min, max } = check as Extract<Check, { kind: 'range' }>
  const bounds = [
    min === undefined ? [] : [`at least ${min}`],
    max === undefined ? [] : [`at most ${max}`],
  ]
  return `it must be ${bounds.flat().join(' and ')}.`
}
