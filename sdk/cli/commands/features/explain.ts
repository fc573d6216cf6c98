/** Why a value is what it is: the events of an entity that make it. */
import type { Reply } from '../../../client.ts'
import { command, UsageError } from '../../command.ts'
import { fields, table } from '../../table.ts'

type Event = Reply<'views.explain'>['events'][number]

export const explain = command({
  words: 'features explain',
  takes: ['<view[@version]>', '<key...>'],
  summary: 'Show what a view is for one entity, and which events make it so.',
  about: 'A key of several parts is given part by part.',
  options: { at: { value: 'time', help: 'as of then (now)' } },
  examples: [
    'galley features explain velocity c1',
    'galley features explain velocity@2 c1 --at 2026-11-01T12:00:00Z',
  ],
  async run({ galley, terminal, signal }, [ref, ...parts], { at }) {
    const [, view, version] = /^([^@]+)(?:@([1-9]\d{0,8}))?$/.exec(ref!) ?? []
    if (view === undefined) {
      throw new UsageError(`"${ref}" is no view; write velocity or velocity@2.`)
    }
    const key = parts.length === 1 ? parts[0]! : parts
    const body = {
      key,
      ...(version !== undefined && { version: Number(version) }),
      ...(at !== undefined && { at }),
    }
    const input = { params: { view }, body }
    const found = await (await galley()).request('views.explain', input, { signal })
    const head = fields(terminal, {
      view: `${found.view}@${found.version}`,
      [found.entity]: found.entity_key,
      at: `${found.at}, partition ${found.partition} at seq ${found.seq}`,
      ...Object.fromEntries(
        found.values.map(({ feature, value, status }) => [
          feature,
          status === 'PRESENT' ? JSON.stringify(value) : status,
        ]),
      ),
    })
    if (found.events.length === 0) return { json: found, text: `${head}\nNo events.` }
    const columns = [
      { title: 'TIME', of: (row: Event) => row.time },
      { title: 'KNOWN AT', of: (row: Event) => row.known_at },
      { title: 'SEQ', right: true, of: (row: Event) => row.seq },
      {
        title: 'PART OF',
        of: (row: Event) => row.left_out?.replaceAll('_', ' ') ?? row.features.join(' '),
      },
      { title: 'DATA', of: (row: Event) => JSON.stringify(row.data) },
    ]
    const more = found.events_total - found.events.length
    const tail = more > 0 ? `\n${more} older events are not shown.` : ''
    return { json: found, text: `${head}\n${table(terminal, columns, found.events)}${tail}` }
  },
})
