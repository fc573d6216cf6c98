/** What becomes of the log: its segments, its checks, how long it is kept, and who is forgotten. */
import { type Command, command, UsageError } from '../../command.ts'
import { bytes, count, time } from '../../format.ts'
import { fields } from '../../table.ts'
import { LIST_OPTIONS, listed } from '../listing.ts'
import { exportLog } from './export.ts'
import { replay } from './replay.ts'

const SPAN = {
  type: { value: 'type', help: 'of one type alone' },
  from: { value: 'time', help: 'hours from this time on' },
  to: { value: 'time', help: 'hours before this time' },
} as const

const segments = command({
  words: 'events segments',
  summary: 'List the files into which the log was sealed.',
  options: { ...LIST_OPTIONS, ...SPAN, superseded: { help: 'also those that were replaced' } },
  examples: ['galley events segments --type payment --from 2026-01-31T00:00:00Z'],
  run: (context, _args, { type, from, to, superseded, ...options }) =>
    listed(context, options, {
      name: 'events.segments',
      input: { query: { type, from, to, ...(superseded && { superseded: 'true' as const }) } },
      empty: `Nothing is sealed ${type === undefined ? 'yet' : `of the type "${type}"`}: an hour of the log is, some minutes after it is over.`,
      columns: [
        { title: 'HOUR', of: each => time(each.hour) },
        { title: 'TYPE', of: each => `${each.type}@${each.version}` },
        { title: 'EVENTS', right: true, of: each => count(each.events) },
        { title: 'ROWS', right: true, of: each => count(each.rows) },
        { title: 'SIZE', right: true, of: each => bytes(each.bytes) },
        { title: 'SHA-256', of: each => each.sha256.slice(0, 12) },
        { title: 'ID', of: each => each.superseded_by ?? each.id },
      ],
    }),
})

const quality = command({
  words: 'events quality',
  summary: 'List what the checks of event types found, hour by hour.',
  options: { ...LIST_OPTIONS, ...SPAN, failed: { help: 'those alone that did not hold' } },
  examples: ['galley events quality --failed', 'galley events quality --type payment --all'],
  run: (context, _args, { type, from, to, failed, ...options }) =>
    listed(context, options, {
      name: 'events.quality',
      input: { query: { type, from, to, ...(failed && { failed: 'true' as const }) } },
      empty: failed
        ? 'No check was found that did not hold.'
        : `No check has looked at anything${type === undefined ? '' : ` of the type "${type}"`}: declare "checks" with a type of events.`,
      columns: [
        { title: 'HOUR', of: each => time(each.hour) },
        { title: 'TYPE', of: each => each.type },
        { title: 'CHECK', of: each => each.check },
        { title: 'KIND', of: each => each.kind },
        { title: 'VALUE', right: true, of: each => numberText(each.value) },
        { title: 'MIN', right: true, of: each => numberText(each.min) },
        { title: 'MAX', right: true, of: each => numberText(each.max) },
        { title: 'HOLDS', of: each => (each.ok ? 'yes' : 'NO') },
      ],
    }),
})

const retention = command({
  words: 'events retention',
  takes: ['[days]'],
  summary: 'Show or say for how many days the log is kept; "forever" for no end.',
  examples: ['galley events retention', 'galley events retention 400'],
  async run(context, [days]) {
    const galley = await context.galley()
    const { signal } = context
    const found =
      days === undefined
        ? await galley.request('events.settings', {}, { signal })
        : await galley.request(
            'events.change_settings',
            { body: { retention_days: daysOf(days) } },
            { signal },
          )
    const kept = found.retention_days === null ? 'for ever' : `for ${found.retention_days} days`
    return { json: found, text: `Events are kept ${kept}; at least for ${found.kept_days} days.` }
  },
})

const erase = command({
  words: 'events erase',
  takes: ['<entity>', '<key...>'],
  summary: 'Erase every event that tells about a subject, wherever it is kept.',
  about:
    'The events go whole, also for their other entities. It begins at once and is done some minutes later: "galley events erasure <id>" says how far it has come. --yes is needed, since nothing brings them back.',
  options: { yes: { help: 'it is meant' } },
  examples: ['galley events erase card c-4711 --yes'],
  async run(context, [entity, ...parts], { yes }) {
    if (!yes) throw new UsageError('Erased events do not come back: add --yes if that is meant.')
    const galley = await context.galley()
    const key = parts.length === 1 ? parts[0]! : parts
    const body = { entity: entity!, key }
    const found = await galley.request('erasures.create', { body }, { signal: context.signal })
    return { json: found, text: `${found.id} is ${found.state}; subject ${found.subject_hash}` }
  },
})

const erasure = command({
  words: 'events erasure',
  takes: ['<id>'],
  summary: 'Show how far an erasure has come.',
  examples: ['galley events erasure ers_01k9zv4n8m5p7q2r3s6t8w9x0y'],
  async run(context, [id]) {
    const galley = await context.galley()
    const input = { params: { erasure_id: id! } }
    const found = await galley.request('erasures.get', input, { signal: context.signal })
    const { erased } = found
    const text = fields(context.terminal, {
      erasure: found.id,
      state: found.state,
      entity: found.entity,
      subject: found.subject_hash,
      events: count(erased.events),
      segments: count(erased.segments),
      decisions: count(erased.decisions),
      asked: time(found.created_at),
      done: time(found.finished_at),
    })
    return { json: found, text }
  },
})

export const eventLog: Command[] = [segments, exportLog, replay, quality, retention, erase, erasure]

function daysOf(text: string): number | null {
  if (text === 'forever') return null
  const days = Number(text)
  if (Number.isSafeInteger(days) && days >= 1) return days
  throw new UsageError(`"${text}" is no number of days; write 400, or forever.`)
}

function numberText(value: number | null): string {
  return value === null ? '-' : String(Math.round(value * 1e6) / 1e6)
}
