/** Events by the thousand: many requests at once, each answered when features see its events. */
import type { Galley, Reply } from '#sdk/client.ts'
import { type CloudEvent, paymentEvent, profiles } from '../../examples/fraud/events.ts'
import { count, type Scene } from './scene.ts'

const TOGETHER = 1_000
const SENDERS = 6
const TOLD_EVERY_MS = 10_000
/** An answer waits for the disk, behind others. */
const TIMEOUT_MS = 120_000

export async function sendHistory({
  galley,
  world,
  stream,
  past,
  shift,
  say,
}: Scene): Promise<{ events: number; seconds: number }> {
  const began = performance.now()
  const known = profiles(world, shift)
  await sendEvents(galley, known, event => event)
  await sendEvents(galley, stream.slice(0, past), each => paymentEvent(each, shift), say)
  return { events: known.length + past, seconds: (performance.now() - began) / 1_000 }
}

/** Features see all of them when it resolves. */
export async function sendEvents<T>(
  galley: Galley,
  given: readonly T[],
  eventOf: (item: T) => CloudEvent,
  say: (line: string) => void = () => {},
): Promise<void> {
  let next = 0
  let sent = 0
  const began = performance.now()
  let toldAt = began
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
      sent += events.length
      const now = performance.now()
      if (now - toldAt < TOLD_EVERY_MS) continue
      toldAt = now
      const perS = Math.round(sent / ((now - began) / 1_000))
      say(`  ${count(sent)} of ${count(given.length)} events, ${count(perS)}/s`)
    }
  }
  await Promise.all(Array.from({ length: SENDERS }, sender))
}
