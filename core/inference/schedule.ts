/** When a request is served, as its parameters say by Triton's schedule policy. */
import { invalid, shown } from './invalid.ts'
import type { Parameters } from './oip.ts'

export type Schedule = {
  /** 1 goes first, larger ones later; 0: no matter. */
  priority: number
  /** After which the answer is of no use; undefined: the request does not say. */
  timeoutMs?: number
}

const USUAL: Schedule = Object.freeze({ priority: 0 })

/** Reads `priority` and `timeout` (microseconds; 0 is none). Throws `invalid_input`. */
export function scheduleOf(parameters: Parameters): Schedule {
  const { priority, timeout } = parameters
  if (priority === undefined && timeout === undefined) return USUAL
  const timeoutUs = whole('timeout', timeout, 'in microseconds, and 0 is none')
  return {
    priority: whole('priority', priority, 'where 1 goes first and 0 is a request like others'),
    ...(timeoutUs > 0 && { timeoutMs: timeoutUs / 1_000 }),
  }
}

function whole(name: string, value: unknown, meaning: string): number {
  if (value === undefined) return 0
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number
  return invalid(
    `The request: parameter "${name}" is ${shown(value)}; it must be a whole number from 0, ${meaning}.`,
  )
}
