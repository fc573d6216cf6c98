/** Events: sent from a file, and read again from the log. */
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Item, Reply } from '../../client.ts'
import { GalleyError } from '../../error.ts'
import { type Command, type Context, command, UsageError } from '../command.ts'
import { count, time } from '../format.ts'
import { documentIn } from '../json-document.ts'
import { fields, table } from '../table.ts'
import { LIST_OPTIONS, listed } from './listing.ts'

const BATCH = 500
const LINES_SHOWN = 5
type Event = Item<'events.list'>

const declare = command({
  words: 'events declare',
  takes: ['<type>', '<file>'],
  summary: 'Declare what events of a type hold, and which entities they tell about.',
  about: 'The file holds {"fields": {…}, "entities": {…}} in JSON; "-" reads it from stdin.',
  examples: ['galley events declare payment payment.json'],
  async run(context, [type, path]) {
    const body = (await documentIn(context, path!)) as never
    const galley = await context.galley()
    const input = { params: { type: type! }, body }
    const found = await galley.request('event_types.declare', input, { signal: context.signal })
    const text = `${found.type}@${found.version}: ${Object.keys(found.fields).join(', ')}; about ${Object.keys(found.entities).join(', ') || 'nothing'}`
    return { json: found, text }
  },
})

const types = command({
  words: 'events types',
  summary: 'List event types.',
  options: LIST_OPTIONS,
  examples: ['galley events types'],
  run: (context, _args, options) =>
    listed(context, options, {
      name: 'event_types.list',
      empty: 'No event types yet. Declare one with: galley events declare <type> <file>',
      columns: [
        { title: 'TYPE', of: type => type.type },
        { title: 'VERSION', right: true, of: type => type.version },
        { title: 'ENTITIES', of: type => Object.keys(type.entities).join(' ') },
        { title: 'FIELDS', of: type => Object.keys(type.fields).join(' ') },
        { title: 'DAYS', right: true, of: type => type.online_days },
      ],
    }),
})

const send = command({
  words: 'events send',
  takes: ['<file>'],
  summary: 'Send the events of a file, one JSON object a line.',
  about:
    'Each line is a CloudEvent: {"id", "source", "type", "time", "data"}. "-" reads stdin. Sent twice, an event counts once.',
  options: {
    type: { value: 'type', help: 'of lines that name none' },
    source: { value: 'source', help: 'of lines that name none' },
  },
  examples: [
    'galley events send payments.jsonl',
    'galley events send - --type payment --source shop < rows.jsonl',
  ],
  async run(context, [path], { type, source }) {
    const { terminal, cwd, signal } = context
    const text = path === '-' ? await terminal.input() : await readFile(resolve(cwd, path!), 'utf8')
    const file = path === '-' ? 'stdin' : path!
    const lines = text.split('\n').flatMap((line, i) => (line.trim() === '' ? [] : [{ line, i }]))
    const events = lines.map(({ line, i }) => ({
      line: i + 1,
      event: eventOf(line, `${file}, line ${i + 1}`, { type, source }),
    }))
    const galley = await context.galley()
    let accepted = 0
    for (let at = 0; at < events.length; at += BATCH) {
      const batch = events.slice(at, at + BATCH)
      const body = new TextEncoder().encode(JSON.stringify(batch.map(({ event }) => event)))
      const headers = { 'content-type': 'application/cloudevents-batch+json' }
      // Sent again an event counts once, so that a lost answer may be asked for again.
      const options = { signal, headers, repeatable: true }
      const read = (response: Response) => response.json() as Promise<Reply<'events.send'>>
      const reply = await galley.send('events.send', { body }, options, read).catch(error => {
        throw byLine(error, { file, accepted, lines: batch.map(({ line }) => line) })
      })
      accepted += reply.accepted
    }
    const noun = accepted === 1 ? 'event' : 'events'
    return { json: { accepted }, text: `${count(accepted)} ${noun} taken` }
  },
})

function eventOf(
  line: string,
  where: string,
  preset: { type: string | undefined; source: string | undefined },
): Record<string, unknown> {
  try {
    return { specversion: '1.0', ...preset, ...JSON.parse(line) }
  } catch (error) {
    throw new UsageError(
      `${where} is not JSON: ${(error as Error).message}. A file of events has one JSON object a line.`,
    )
  }
}

/** The same fault with lines of the file instead of places in a batch, and with what was taken before. */
function byLine(
  error: unknown,
  { file, accepted, lines }: { file: string; accepted: number; lines: number[] },
): unknown {
  if (!(error instanceof GalleyError) || !error.errors?.length) return error
  const wrong = error.errors.slice(0, LINES_SHOWN).map(({ pointer, detail }) => {
    const [, index, rest] = /^\/(\d+)(\/.*)?$/.exec(pointer) ?? ['', '0', pointer]
    return `line ${lines[Number(index)]} at ${rest ?? '/'}: ${detail.replace(/\.$/, '')}`
  })
  const further = error.errors.length - wrong.length
  const more = further > 0 ? `; and ${count(further)} more` : ''
  const before =
    accepted > 0 ? `${count(accepted)} events before them were taken` : 'none was taken'
  const text = `${file}, ${wrong.join('; ')}${more}; ${before}.`
  return new GalleyError(error.code, text, {
    status: error.status,
    ...(error.requestId !== undefined && { requestId: error.requestId }),
    cause: error,
  })
}

const tail = command({
  words: 'events tail',
  summary: 'List the log, in the order in which events were taken.',
  options: { ...LIST_OPTIONS, type: { value: 'type', help: 'of one type alone' } },
  examples: ['galley events tail --limit 20', 'galley events tail --type payment --all --json'],
  run: (context, _args, { type, ...options }) =>
    listed(context, options, {
      name: 'events.list',
      input: { query: { type } },
      empty:
        type === undefined
          ? 'No events yet. Send some with: galley events send <file>'
          : `No events of the type "${type}". The types: galley events types`,
      columns: [
        { title: 'TIME', of: event => event.time },
        { title: 'TYPE', of: event => event.type },
        { title: 'SOURCE', of: event => event.source },
        { title: 'ID', of: event => event.id },
        {
          title: 'DATA',
          of: event => (event.retracts ? '(taken back)' : JSON.stringify(event.data)),
        },
      ],
    }),
})

const find = command({
  words: 'events find',
  takes: ['<id>'],
  summary: 'Show one event, and where it stands for its entities.',
  options: { source: { value: 'source', help: 'where it came from' } },
  examples: ['galley events find payment-17 --source shop'],
  async run(context, [id], { source }) {
    if (source === undefined) throw new UsageError('An event is known by its id and its --source.')
    const galley = await context.galley()
    const query = { id: id!, source }
    const found = await galley.request('events.find', { query }, { signal: context.signal })
    return { json: found, text: eventText(context, found) }
  },
})

function eventText({ terminal }: Context, event: Event): string {
  const { id, source, type, version, positions, data } = event
  const about = fields(terminal, {
    event: id,
    source,
    type: `${type}@${version}`,
    time: event.time,
    received: event.received_at,
    data: JSON.stringify(data),
  })
  if (positions.length === 0) return `${about}\nNot placed yet.`
  const columns = [
    { title: 'ENTITY', of: (row: (typeof positions)[number]) => row.entity },
    { title: 'KEY', of: (row: (typeof positions)[number]) => row.entity_key },
    { title: 'PARTITION', right: true, of: (row: (typeof positions)[number]) => row.partition },
    { title: 'SEQ', right: true, of: (row: (typeof positions)[number]) => row.seq },
    { title: 'KNOWN AT', of: (row: (typeof positions)[number]) => row.known_at },
  ]
  return `${about}\n\n${table(terminal, columns, positions)}`
}

const rejected = command({
  words: 'events rejected',
  summary: 'List events that were taken and contradict an earlier one.',
  options: LIST_OPTIONS,
  examples: ['galley events rejected'],
  run: (context, _args, options) =>
    listed(context, options, {
      name: 'events.rejected',
      empty: 'No event was rejected.',
      columns: [
        { title: 'AT', of: each => time(each.at) },
        { title: 'TYPE', of: each => each.type },
        { title: 'SOURCE', of: each => each.source },
        { title: 'ID', of: each => each.id },
        { title: 'WHY', of: each => each.detail },
      ],
    }),
})

export const events: Command[] = [declare, types, send, tail, find, rejected]
