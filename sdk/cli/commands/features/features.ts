/** Features: a file of definitions, planned and applied as one; and values as they are now. */
import type { Reply } from '../../../client.ts'
import { type Command, type Context, command, UsageError } from '../../command.ts'
import { time } from '../../format.ts'
import { table } from '../../table.ts'
import { LIST_OPTIONS, listed } from '../listing.ts'
import { applied, type Change, changesText, definitionsIn, planned } from './definitions.ts'
import { explain } from './explain.ts'
import { notProven, proveNext } from './promotion.ts'
import { prove } from './prove.ts'
import { skew } from './skew.ts'
import { trainingSet } from './training-set.ts'

const FILE =
  'The file is JSON with any of {"event_types": {…}, "views": {…}, "services": {…}}, each a definition by name; "-" reads it from stdin.'

const plan = command({
  words: 'features plan',
  takes: ['<file>'],
  summary: 'Say what a file of definitions would change, and change nothing.',
  about: `${FILE} What builds on something new in the
same file is checked when it is applied.`,
  examples: ['galley features plan fraud.json'],
  async run(context, [path]) {
    const galley = await context.galley()
    const changes: Change[] = []
    for (const each of await definitionsIn(context, path!)) {
      changes.push(await planned(galley, each, changes, context.signal))
    }
    return { json: { changes }, text: changesText(context, changes) }
  },
})

const apply = command({
  words: 'features apply',
  takes: ['<file>'],
  summary: 'Define event types, views and services; what is the same stays as it is.',
  about: `${FILE}
A version of a view that follows one that serves is proven on your log before its service moves to it.`,
  examples: ['galley features apply fraud.json'],
  async run(context, [path]) {
    const galley = await context.galley()
    const changes: Change[] = []
    for (const each of await definitionsIn(context, path!)) {
      const done = await applied(galley, each, changes, context.signal).catch(notProven)
      const failure = done ? null : await proveNext(context, galley, each.name)
      if (failure) return { json: { changes }, text: changesText(context, changes), failure }
      changes.push(done ?? (await applied(galley, each, changes, context.signal)))
    }
    return { json: { changes }, text: changesText(context, changes) }
  },
})

const list = command({
  words: 'features list',
  summary: 'List feature services, or with --views the views.',
  options: { ...LIST_OPTIONS, views: { help: 'the views instead' } },
  examples: ['galley features list', 'galley features list --views'],
  run: (context, _args, options) =>
    options.views
      ? listed(context, options, {
          name: 'views.list',
          empty: 'No views yet. Define some with: galley features apply <file>',
          columns: [
            { title: 'VIEW', of: view => view.name },
            { title: 'VERSION', right: true, of: view => view.version },
            { title: 'ENTITY', of: view => view.definition.entity },
            { title: 'EVENTS', of: view => view.definition.event_type },
            { title: 'FEATURES', right: true, of: view => view.features.length },
            { title: 'HASH', of: view => view.hash.slice(0, 12) },
            { title: 'CREATED', of: view => time(view.created_at) },
          ],
        })
      : listed(context, options, {
          name: 'services.list',
          empty: 'No services yet. Define some with: galley features apply <file>',
          columns: [
            { title: 'SERVICE', of: service => service.name },
            { title: 'VERSION', right: true, of: service => service.version },
            {
              title: 'VIEWS',
              of: service =>
                service.views.map(({ name, version }) => `${name}@${version}`).join(' '),
            },
            { title: 'FEATURES', right: true, of: service => service.features.length },
            { title: 'HASH', of: service => service.hash.slice(0, 12) },
            { title: 'CREATED', of: service => time(service.created_at) },
          ],
        }),
})

const show = command({
  words: 'features show',
  takes: ['<service>'],
  summary: 'Show what a service gives, in order, with types.',
  examples: ['galley features show fraud'],
  async run({ galley, terminal, signal }, [service]) {
    const input = { params: { service: service! } }
    const found = await (await galley()).request('services.get', input, { signal })
    const columns = [
      { title: 'FEATURE', of: (row: { name: string }) => row.name },
      { title: 'TYPE', of: (row: { type: string }) => row.type },
    ]
    const head = `${found.name}@${found.version}  ${found.hash.slice(0, 12)}`
    return { json: found, text: `${head}\n${table(terminal, columns, found.features)}` }
  },
})

const read = command({
  words: 'features read',
  takes: ['<service>', '<entity=key...>'],
  summary: 'Read the features of a service as of now.',
  options: { request: { value: 'json', help: 'the fields that come with a request' } },
  examples: [
    'galley features read fraud card=c1 merchant=m7',
    'galley features read fraud card=c1 --request \'{"amount": 12.34}\'',
  ],
  async run({ galley, terminal, signal }, [service, ...pairs], { request }) {
    const body = { entities: [entitiesOf(pairs)], ...(request && { request: [jsonOf(request)] }) }
    const input = { params: { service: service! }, body }
    const found = await (await galley()).request('features.read', input, { signal })
    return { json: found, text: valuesText(terminal, found) }
  },
})

function valuesText(terminal: Context['terminal'], { features, results }: Reply<'features.read'>) {
  const [{ values, statuses, freshness } = { values: [], statuses: [], freshness: [] }] = results
  const rows = features.map((name, i) => ({
    name,
    value: values[i] === null ? '-' : JSON.stringify(values[i]),
    status: statuses[i]!,
  }))
  const columns = [
    { title: 'FEATURE', of: (row: (typeof rows)[number]) => row.name },
    { title: 'VALUE', right: true, of: (row: (typeof rows)[number]) => row.value },
    { title: 'STATUS', of: (row: (typeof rows)[number]) => row.status },
  ]
  const seen = freshness.map(
    ({ entity, entity_key, seq, at }) => `${entity} ${entity_key}: seq ${seq} at ${at}`,
  )
  return [table(terminal, columns, rows), ...seen].join('\n')
}

function entitiesOf(pairs: string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map(pair => {
      const at = pair.indexOf('=')
      if (at < 1) throw new UsageError(`"${pair}" is no entity; write card=c1.`)
      return [pair.slice(0, at), pair.slice(at + 1)]
    }),
  )
}

function jsonOf(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new UsageError(`--request is not JSON: ${(error as Error).message}`)
  }
}

export const features: Command[] = [
  plan,
  apply,
  list,
  show,
  read,
  trainingSet,
  prove,
  explain,
  skew,
]
