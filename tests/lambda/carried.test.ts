/** What goes from place to place through a gateway: in parts that it takes, and with its own refusals understood. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CARRIED_BYTES_MAX, faultOf, inCarried } from '#core/carried.ts'
import { eventOf } from './gateway.ts'
import { PAYLOAD_BYTES_MAX } from './host.ts'

/** Texts that become longest on their way: each quote and backslash is escaped twice. */
const long = fc
  .tuple(fc.constantFrom('"', '\\', 'a', 'é', '€', '😀'), fc.integer({ min: 1, max: 400_000 }))
  .map(([text, times]) => text.repeat(times))

test('items are carried in their order, each once, in bodies that a function takes', () => {
  fc.assert(
    fc.property(fc.array(long, { maxLength: 12 }), items => {
      const runs = inCarried(items)
      expect(runs.flat()).toEqual(items)
      for (const run of runs) {
        const body = Buffer.from(JSON.stringify(run))
        const isAlone = run.length === 1
        expect(isAlone || body.length <= CARRIED_BYTES_MAX).toBe(true)
        const headers = { 'content-type': 'application/json' }
        const event = eventOf({ url: '/', method: 'POST', headers, body })
        const bytes = Buffer.byteLength(JSON.stringify(event))
        expect(isAlone || bytes <= PAYLOAD_BYTES_MAX).toBe(true)
      }
    }),
    { numRuns: 20 },
  )
})

test('a reply of ours is its own error; what a gateway answers by itself is what its status means', () => {
  const reply = (status: number, retryAfter: string | null = null) => ({
    status,
    headers: { get: () => retryAfter },
  })
  const ours = { code: 'not_found', detail: 'There is no such tenant.' }
  expect(faultOf(reply(404), ours)).toMatchObject({ code: 'not_found', public: ours.detail })
  expect(faultOf(reply(503, '7'), { code: 'unavailable' }).retryAfterS).toBe(7)
  const busy = faultOf(reply(503), { message: 'Service Unavailable' })
  expect(busy).toMatchObject({ code: 'unavailable', retryable: true, retryAfterS: 1 })
  const large = faultOf(reply(413), { message: 'Request Too Long' })
  expect(large).toMatchObject({ code: 'payload_too_large', retryable: false })
  for (const body of [null, {}, { message: 'Internal Server Error' }]) {
    expect(faultOf(reply(500), body).code).toBe('internal')
  }
})
