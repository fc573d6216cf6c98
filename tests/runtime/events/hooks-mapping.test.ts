/** What a webhook says, as an event: by pointers, by names, with the sender's own id and time. */
import { describe, expect, test } from 'vitest'
import { checkedEvent } from '#core/events/contract.ts'
import { kindsOf, rawEventOf, ruleFor } from '#core/events/hooks/hooks.ts'
import type { EventType } from '#schemas/event.ts'
import type { HookRule, HookScheme } from '#schemas/hook.ts'

const CONTRACT: EventType = {
  type: 'payment',
  version: 1,
  fields: {
    card: { type: 'string' },
    amount: { type: 'int' },
    paid_at: { type: 'time', optional: true },
  },
  entities: { card: 'card' },
  online_days: 40,
}
const sourceOf = (scheme: HookScheme, events: Record<string, HookRule>) => ({
  name: 'shop',
  scheme,
  events,
  tolerance_s: 300,
})
const CHARGE = {
  id: 'evt_1',
  object: 'event',
  type: 'charge.succeeded',
  created: 1_767_225_600,
  data: {
    object: { id: 'ch_1', amount: 1250, created: 1_767_225_599.5, source: { id: 'card_9' } },
  },
}

function mapped(scheme: HookScheme, rule: HookRule, body: unknown, id: string | null = null) {
  return rawEventOf(sourceOf(scheme, { '*': rule }), rule, CONTRACT, { id, body })
}

describe('a rule', () => {
  test('takes the values of its pointers, the others by name, and nothing else', () => {
    const fields = { card: '/data/object/source/id', paid_at: '/data/object/created' }
    const event = mapped('stripe', { type: 'payment', fields }, CHARGE)
    expect(event).toEqual({
      id: 'evt_1',
      source: '/hooks/shop',
      type: 'payment',
      time: '2026-01-01T00:00:00Z',
      data: { card: 'card_9', amount: 1250, paid_at: '2025-12-31T23:59:59.500Z' },
    })
    const about = { tenantId: 't', receivedAt: 0 }
    expect(checkedEvent(CONTRACT, event, about)).toMatchObject({ event: { id: 'evt_1' } })
  })

  test('finds what RFC 6901 finds: lists, escaped names, nothing of a prototype', () => {
    const body = { items: [{ 'a/b': { 'c~d': 'deep' } }], amount: 5, data: {} }
    const card = '/items/0/a~1b/c~0d'
    const of = (fields: Record<string, string>) =>
      mapped('github', { type: 'payment', fields }, body).data
    expect(of({ card })).toEqual({ card: 'deep', amount: 5 })
    for (const nowhere of [
      '/items/7/x',
      '/constructor/name',
      '/__proto__',
      '/amount/x',
      '/items/-',
    ]) {
      expect(of({ card: nowhere }), nowhere).toEqual({ amount: 5 })
    }
  })

  test('leaves what does not fit to the contract, which says where', () => {
    const checked = checkedEvent(CONTRACT, mapped('stripe', { type: 'payment' }, CHARGE), {
      tenantId: 't',
      receivedAt: 0,
    })
    expect(checked).toMatchObject({ errors: [{ pointer: '/data/card' }] })
  })
})

describe('the id and the time', () => {
  test('are the sender’s: of the header, of the body, or where the rule says', () => {
    const body = { timestamp: '2026-01-02T03:04:05.678Z', data: { amount: 1 }, delivery: 77 }
    const rule = { type: 'payment' }
    expect(mapped('standard-webhooks', rule, body, 'msg_1')).toMatchObject({
      id: 'msg_1',
      time: '2026-01-02T03:04:05.678Z',
    })
    expect(mapped('github', rule, body, 'guid')).toMatchObject({ id: 'guid', time: undefined })
    const own = { ...rule, id: '/delivery', time: '/timestamp' }
    expect(mapped('github', own, body, 'guid')).toMatchObject({ id: '77', time: body.timestamp })
  })

  test('without a time, a repetition is the same event, whenever it comes', () => {
    const bodyHash = (receivedAt: number) => {
      const event = mapped('github', { type: 'payment' }, { card: 'c', amount: 1 }, 'guid')
      const checked = checkedEvent(CONTRACT, event, { tenantId: 't', receivedAt })
      return 'event' in checked && checked.event.bodyHash
    }
    expect(bodyHash(1e15)).toBe(bodyHash(2e15))
  })

  test('that are missing or of a wrong form are refused', () => {
    const errorsOf = (body: unknown, id: string | null) => {
      const event = mapped('standard-webhooks', { type: 'payment' }, body, id)
      const checked = checkedEvent(CONTRACT, event, { tenantId: 't', receivedAt: 0 })
      return 'errors' in checked ? checked.errors.map(({ pointer }) => pointer) : []
    }
    const data = { card: 'c', amount: 1 }
    expect(errorsOf({ data }, null)).toEqual(['/id'])
    expect(errorsOf({ data, timestamp: 'yesterday' }, 'm')).toEqual(['/time'])
    expect(errorsOf({ data, timestamp: 1e300 }, 'm')).toEqual(['/time'])
  })
})

describe('the kind', () => {
  const header = (values: Record<string, string>) => (name: string) => values[name]

  test('is the type that the body names; of GitHub the header, with the action if there is a rule', () => {
    expect(kindsOf('stripe', header({}), CHARGE)).toEqual(['charge.succeeded'])
    expect(kindsOf('standard-webhooks', header({}), { type: 7 })).toEqual([])
    const opened = { action: 'opened' }
    const event = header({ 'x-github-event': 'issues' })
    expect(kindsOf('github', event, opened)).toEqual(['issues.opened', 'issues'])
    expect(kindsOf('github', event, {})).toEqual(['issues'])
  })

  test('finds the closest rule; without one and without "*" there is none', () => {
    const rule = (type: string) => ({ type })
    const events = { issues: rule('a'), 'issues.opened': rule('b') }
    const source = sourceOf('github', events)
    expect(ruleFor(source, ['issues.opened', 'issues'])).toEqual(rule('b'))
    expect(ruleFor(source, ['issues.closed', 'issues'])).toEqual(rule('a'))
    expect(ruleFor(source, ['ping'])).toBe(null)
    expect(ruleFor(source, ['constructor'])).toBe(null)
    expect(ruleFor(sourceOf('github', { ...events, '*': rule('c') }), ['ping'])).toEqual(rule('c'))
  })
})
