/** The queue as a list in memory, and random walks that must agree with it. No step depends on time. */
import fc from 'fast-check'
import { expect } from 'vitest'
import type { Queue } from '#core/deps.ts'
import type { QueueFlags } from './engines.ts'

type Step =
  | { do: 'send'; count: number }
  | { do: 'receive'; max: number }
  | { do: 'delete' | 'give back' | 'delete with an old receipt'; at: number }

const steps = fc.array(
  fc.oneof(
    fc.record({ do: fc.constant('send' as const), count: fc.integer({ min: 1, max: 12 }) }),
    fc.record({ do: fc.constant('receive' as const), max: fc.integer({ min: 1, max: 10 }) }),
    fc.record({
      do: fc.constantFrom('delete', 'give back', 'delete with an old receipt'),
      at: fc.nat(),
    }),
  ),
  { maxLength: 25 },
) as fc.Arbitrary<Step[]>

type Held = { body: string; receipt: string }
type Model = {
  ready: Set<string>
  held: Held[]
  /** The last receipt of what was given back: still the newest until somebody receives it again. */
  last: Map<string, string>
  /** Receipts that a later receive or a delete has made worthless. */
  old: string[]
  counts: Map<string, number>
  sent: number
}

export function followsTheModel(queue: () => Queue, flags: QueueFlags) {
  return fc.asyncProperty(steps, async walk => {
    const model: Model = {
      ready: new Set(),
      held: [],
      last: new Map(),
      old: [],
      counts: new Map(),
      sent: 0,
    }
    for (const step of walk) {
      if (step.do === 'delete with an old receipt' && !flags.forgetsOldReceipts) continue
      await take(queue(), model, step)
    }
    // At the end everything that was not deleted comes out, once.
    for (const { receipt } of model.held) await queue().extend('work', receipt, 0)
    const left = [...model.ready, ...model.held.map(h => h.body)].sort()
    const found: string[] = []
    while (found.length < left.length) {
      const messages = await queue().receive('work', { max: 10, waitS: 5 })
      expect(messages.length, 'a message was lost').toBeGreaterThan(0)
      found.push(...messages.map(m => m.body))
      await queue().delete(
        'work',
        messages.map(m => m.receipt),
      )
    }
    expect(found.sort()).toEqual(left)
    expect(await queue().receive('work', { max: 10, waitS: 0 })).toEqual([])
  })
}

async function take(queue: Queue, model: Model, step: Step): Promise<void> {
  if (step.do === 'send') {
    const bodies = Array.from({ length: step.count }, () => `m${model.sent++}`)
    await queue.send(
      'work',
      bodies.map(body => ({ body })),
    )
    for (const body of bodies) model.ready.add(body)
  } else if (step.do === 'receive') {
    const messages = await queue.receive('work', { max: step.max, waitS: 0 })
    expect(messages.length).toBeLessThanOrEqual(step.max)
    for (const { body, receipt, receiveCount } of messages) {
      expect(model.ready.delete(body), `${body} was hidden or deleted`).toBe(true)
      model.counts.set(body, (model.counts.get(body) ?? 0) + 1)
      expect(receiveCount).toBe(model.counts.get(body))
      model.held.push({ body, receipt })
      const before = model.last.get(body)
      if (before) model.old.push(before)
    }
  } else if (step.do === 'delete with an old receipt') {
    const receipt = model.old[step.at % model.old.length]
    if (receipt) await queue.delete('work', [receipt])
  } else {
    const [held] = model.held.splice(step.at % Math.max(1, model.held.length), 1)
    if (!held) return
    if (step.do === 'delete') {
      model.old.push(held.receipt)
      return queue.delete('work', [held.receipt])
    }
    model.last.set(held.body, held.receipt)
    expect(await queue.extend('work', held.receipt, 0)).toBe(true)
    model.ready.add(held.body)
  }
}
