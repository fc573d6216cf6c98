/** Tells the product what has happened: many requests at once, each answered when features see its events. */
import type { Reply } from '#sdk/client.ts'
import { type CloudEvent, paymentEvent, profiles } from '../../examples/fraud/events.ts'
import type { Payment } from '../../examples/fraud/payment.ts'
import { count, type Scene } from './scene.ts'

const TOGETHER = 1_000
const SENDERS = 6
const TOLD_EVERY_MS = 10_000
/** An answer waits for the disk, behind others. */
const TIMEOUT_MS = 120_000

export async function tellHistory(scene: Scene): Promise<{ events: number; seconds: number }> {
  const { world, stream, past, shift } = scene
  const began = performance.now()
  await sendAll(scene, profiles(world, shift), event => event)
  await sendAll(scene, stream.slice(0, past), payment => paymentEvent(payment, shift))
  const seconds = (performance.now() - began) / 1_000
  return { events: world.cards.length + world.merchants.length + past, seconds }
}

/** Payments of `past` that features see before the next line runs. */
export function tell(scene: Scene, past: readonly Payment[]): Promise<void> {
  return sendAll(scene, past, payment => paymentEvent(payment, scene.shift))
}

async function sendAll<T>(
  { galley, say }: Scene,
  given: readonly T[],
  eventOf: (item: T) => CloudEvent,
): Promise<void> {
  let next = 0
  let told = 0
  let toldAt = performance.now()
  const began = toldAt
  const sender = async () => {
    for (let at = next; at < given.length; at = next) {
      next += TOGETHER
      const events = given.slice(at, at + TOGETHER).map(eventOf)
      const body = new TextEncoder().encode(JSON.stringify(events))
      const headers = { 'content-type': 'application/cloudevents-batch+json' }
      // Sent again an event counts once, so that a lost answer may be asked for again.
      const options = { headers, repeatable: true, timeoutMs: TIMEOUT_MS }
      const read = (response: Response) => response.json() as Promise<Reply<'events.send'>>
      await galley.send('events.send', { query: { wait: 'true' }, body }, options, read)
      told += events.length
      const now = performance.now()
      if (now - toldAt < TOLD_EVERY_MS) continue
      toldAt = now
      const perS = Math.round(told / ((now - began) / 1_000))
      say(`  ${count(told)} of ${count(given.length)} events, ${count(perS)}/s`)
    }
  }
  await Promise.all(Array.from({ length: SENDERS }, sender))
}
