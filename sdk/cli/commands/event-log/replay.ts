/**
 * Events of the past again: as lines for another program, or sent as events of another type. Features need
 * no replay for a new view, since they are computed from the events that the objects hold.
 */
import type { Galley, Item, Reply } from '../../../client.ts'
import { command, UsageError } from '../../command.ts'
import { count } from '../../format.ts'

const PAGE = 500
type Logged = Item<'events.list'>
type Again = Record<string, unknown>

export const replay = command({
  words: 'events replay',
  summary: 'Write events of the log as lines of JSON, or send them as another type.',
  about:
    'Without --as they go to stdout, as CloudEvents. With it they are sent again under the other type, each with its own id and time, from the source "replay:" and theirs, so that a replay that was cut off may simply be repeated. What takes events back is left out. It reaches as far back as the log stands in the database (see "events retention"); older events are in the files of "events export".',
  options: {
    type: { value: 'type', help: 'which events (needed)' },
    from: { value: 'time', help: 'that happened at this time or later' },
    to: { value: 'time', help: 'that happened before this time' },
    as: { value: 'type', help: 'send them as events of this type' },
  },
  examples: [
    'galley events replay --type payment --from 2026-01-01T00:00:00Z > payments.jsonl',
    'galley events replay --type payment --as payment.v2',
  ],
  async run(context, _args, { type, from, to, as }) {
    if (type === undefined) throw new UsageError('Which events? Add --type <type>.')
    if (as === type)
      throw new UsageError(`They are of the type ${type} already; --as takes another.`)
    const [low, high] = [timeOf('from', from), timeOf('to', to)]
    const isIn = ({ time }: Logged) =>
      (low === null || Date.parse(time) >= low) && (high === null || Date.parse(time) < high)
    const galley = await context.galley()
    const { signal, terminal } = context
    let [done, retractions] = [0, 0]
    for await (const page of galley.pages(
      'events.list',
      { query: { type, limit: PAGE } },
      { signal },
    )) {
      const inTime = page.data.filter(isIn)
      const some = inTime.filter(event => !event.retracts)
      retractions += inTime.length - some.length
      const again = some.map(event => againOf(event, as))
      if (as === undefined) {
        for (const event of again) await terminal.out(`${JSON.stringify(event)}\n`)
      } else if (again.length > 0) await sent(galley, again, signal)
      done += again.length
    }
    // A type that there is not would look like one without events.
    if (done + retractions === 0)
      await galley.request('event_types.get', { params: { type } }, { signal })
    if (retractions > 0) {
      terminal.err(`${count(retractions)} events that take others back were left out.\n`)
    }
    if (as === undefined) return undefined
    return { json: { replayed: done }, text: `${count(done)} events sent as ${as}` }
  },
})

function againOf({ id, source, type, time, data }: Logged, as: string | undefined): Again {
  const known = Object.entries(data).filter(([, value]) => value !== null)
  return {
    specversion: '1.0',
    id,
    source: as === undefined ? source : `replay:${source}`,
    type: as ?? type,
    time,
    data: Object.fromEntries(known),
  }
}

async function sent(galley: Galley, events: Again[], signal: AbortSignal): Promise<void> {
  const body = new TextEncoder().encode(JSON.stringify(events))
  const headers = { 'content-type': 'application/cloudevents-batch+json' }
  const read = (response: Response) => response.json() as Promise<Reply<'events.send'>>
  await galley.send('events.send', { body }, { signal, headers, repeatable: true }, read)
}

function timeOf(name: string, text: string | undefined): number | null {
  if (text === undefined) return null
  const ms = Date.parse(text)
  if (!Number.isNaN(ms)) return ms
  throw new UsageError(`--${name} takes a time such as 2026-01-31T12:00:00Z, not "${text}".`)
}
