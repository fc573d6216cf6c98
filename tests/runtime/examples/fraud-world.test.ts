/** The fraud example's world: anybody can make it again, and what is sent of it gives nothing away. */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { EVENT_TYPES, SERVICE, VIEWS } from '../../../examples/fraud/definitions.ts'
import { paymentEvent, profiles, question, timeText } from '../../../examples/fraud/events.ts'
import { rush } from '../../../examples/fraud/live.ts'
import { ATTACKS, COMPLAINT_DAYS_MAX, DAY, SECOND, START } from '../../../examples/fraud/payment.ts'
import { busyness, payments } from '../../../examples/fraud/stream.ts'
import { makeWorld } from '../../../examples/fraud/world.ts'

const world = (seed = 7) => makeWorld({ seed, cards: 800, merchants: 60 })
const days = 20

test('the same seed gives the same payments, in order of time, with every attack among them', () => {
  const stream = payments(world(), { seed: 7, days })
  expect(payments(world(), { seed: 7, days })).toEqual(stream)
  expect(payments(world(), { seed: 8, days })).not.toEqual(stream)
  expect(stream.every(({ time }, i) => i === 0 || time >= stream[i - 1]!.time)).toBe(true)
  expect(stream.every(({ time }) => time >= START && time < START + days * DAY)).toBe(true)
  expect(new Set(stream.map(({ attack }) => attack))).toEqual(new Set([null, ...ATTACKS]))
})

test('the truth about an attack is known days later, and all of it when complaints have come in', () => {
  const attacked = payments(world(), { seed: 7, days }).filter(({ attack }) => attack !== null)
  const late = attacked.map(({ time, labelTime }) => (labelTime - time) / DAY)
  expect(Math.min(...late)).toBeGreaterThan(1)
  expect(Math.max(...late)).toBeLessThanOrEqual(COMPLAINT_DAYS_MAX)
})

test('so many payments as were asked for are made', () => {
  for (const transactions of [20_000, 60_000]) {
    const busy = busyness({ transactions, cards: 800, days })
    const made = payments(world(), { seed: 3, days, busy }).length
    expect(made / transactions).toBeGreaterThan(0.97)
    expect(made / transactions).toBeLessThan(1.08)
  }
})

test('an event of a payment holds what its contract says, and nothing of its truth', () => {
  const [payment] = payments(world(), { seed: 7, days }).filter(({ attack }) => attack !== null)
  const shift = 5 * DAY + 17
  const event = paymentEvent(payment!, shift)
  expect(Object.keys(event.data).sort()).toEqual(Object.keys(EVENT_TYPES.payment!.fields).sort())
  expect(event.time).toBe(timeText(payment!.time + shift))
  expect(event.data.device_id).toMatch(/^d[0-9]+-[0-9]$/)
  expect(Object.keys(question(payment!, shift)).sort()).toEqual(
    [...Object.keys(EVENT_TYPES.payment!.fields), 'timestamp'].sort(),
  )
})

test('times are written to the microsecond', () => {
  expect(timeText(START)).toBe('2026-01-05T00:00:00.000000Z')
  expect(timeText(START + 1_000_007)).toBe('2026-01-05T00:00:01.000007Z')
})

test('profiles of all cards and shops are told as of before the first payment', () => {
  const told = profiles(world(), 0)
  expect(told).toHaveLength(860)
  expect(new Set(told.map(({ id }) => id)).size).toBe(860)
  expect(told.every(({ time }) => time! < timeText(START))).toBe(true)
})

test('in the rush an honest card pays once, attacks go on, and its start is kept to', () => {
  const o = { seed: 7, start: START + 30 * DAY, seconds: 20, rate: 30, attacks: 8 }
  const many = () => makeWorld({ seed: 7, cards: 4_000, merchants: 60 })
  const { before, live } = rush(many(), o)
  expect(rush(many(), o)).toEqual({ before, live })
  expect(live).toHaveLength(600)
  const honest = live.filter(({ attack }) => attack === null)
  expect(new Set(honest.map(({ card_id }) => card_id)).size).toBe(honest.length)
  const attacked = new Set([...before, ...live].filter(p => p.attack).map(p => p.card_id))
  expect(honest.filter(({ card_id }) => attacked.has(card_id))).toEqual([])
  expect(live.length - honest.length).toBeGreaterThan(3)
  expect(before.every(({ attack, time }) => attack !== null && time < o.start)).toBe(true)
  const end = o.start + o.seconds * SECOND
  expect(live.every(({ time }) => time >= o.start && time < end)).toBe(true)
  const ids = [...before, ...live].map(({ id }) => id)
  expect(new Set(ids).size).toBe(ids.length)
})

test('the definitions print themselves as the command line takes them', () => {
  const path = new URL('../../../examples/fraud/definitions.ts', import.meta.url)
  const printed = execFileSync(process.execPath, [fileURLToPath(path)], { encoding: 'utf8' })
  expect(JSON.parse(printed)).toEqual({
    event_types: EVENT_TYPES,
    views: VIEWS,
    services: { fraud: SERVICE },
  })
})
