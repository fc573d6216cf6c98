/** Triton's schedule parameters: read exactly, or refused with what would be right. */
import { expect, test } from 'vitest'
import type { AppError } from '#core/error.ts'
import { scheduleOf } from '#core/inference/oip.ts'

test('priority and timeout are read as Triton means them: microseconds, and 0 is none', () => {
  expect(scheduleOf({})).toEqual({ priority: 0 })
  expect(scheduleOf({ priority: 1 })).toEqual({ priority: 1 })
  expect(scheduleOf({ priority: 3, timeout: 1_500 })).toEqual({ priority: 3, timeoutMs: 1.5 })
  expect(scheduleOf({ timeout: 0 })).toEqual({ priority: 0 })
})

test.each([
  [{ priority: -1 }, '"priority" is -1'],
  [{ priority: 1.5 }, '"priority" is 1.5'],
  [{ timeout: 'soon' }, '"timeout" is "soon"'],
  [{ timeout: true }, '"timeout" is true'],
])('%o is refused by name', (parameters, says) => {
  let error: AppError | undefined
  try {
    scheduleOf(parameters as Parameters<typeof scheduleOf>[0])
  } catch (thrown) {
    error = thrown as AppError
  }
  expect([error?.code, error?.public]).toEqual([
    'invalid_input',
    expect.stringContaining(`${says}; it must be a whole number from 0`),
  ])
})
