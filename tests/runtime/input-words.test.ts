import { expect, test } from 'vitest'
import * as z from 'zod'
import { inputOf } from '#functions/input.ts'
import type { Route } from '#schemas/route.ts'

const body = z.strictObject({
  name: z.string().regex(/^[a-z]+$/, { error: 'a name of small letters' }),
  kind: z.enum(['a', 'b']).optional(),
  parts: z.array(z.object({ size: z.number() })),
  at: z.iso.datetime({ offset: true }).optional(),
})
const route = { body } as unknown as Route

test.each([
  [{ name: 'x' }, '/parts: it is missing, and must be a list.'],
  [{ name: 'x', parts: {} }, '/parts: it must be a list, not an object.'],
  [{ name: 'x', parts: [{ size: '1' }] }, '/parts/0/size: it must be a number, not a text.'],
  [{ name: 'x', parts: [], kind: 'c' }, '/kind: it must be one of "a", "b", not "c".'],
  [
    { name: 'x', parts: [], at: 'soon' },
    '/at: it must be a time such as 2026-01-31T12:00:00Z, not "soon".',
  ],
  [{ name: 'x', parts: [], prats: [] }, '/: it takes no "prats".'],
  [{ name: 'X', parts: [] }, '/name: a name of small letters.'],
])('of the body %j it is said where it is wrong, and what would be right', (given, sentence) => {
  const input = { url: 'http://x/', params: {}, body: Buffer.from(JSON.stringify(given)) }
  expect(() => inputOf(route, input)).toThrow(
    expect.objectContaining({ public: `The body is wrong at ${sentence}` }),
  )
})
