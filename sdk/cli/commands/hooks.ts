/** Webhooks that come in: whose signatures are believed, and what becomes of what they say. */
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Reply } from '../../client.ts'
import { type Command, type Context, command, UsageError } from '../command.ts'
import { pair, time } from '../format.ts'
import { documentIn } from '../json-document.ts'
import { fields, table } from '../table.ts'
import { LIST_OPTIONS, listed } from './listing.ts'

const SECRET = 'A secret is given as it is, as "@file", or as "-" for stdin.'

const apply = command({
  words: 'hooks apply',
  takes: ['<name>', '<file>'],
  summary: 'Declare a source of signed webhooks, or change it.',
  about: `The file is JSON: {"scheme": "stripe", "events": {"charge.succeeded": {"type": "payment", "fields": {"amount": "/data/object/amount"}}}}. ${SECRET}`,
  options: {
    secret: { value: 'name=secret', many: true, help: 'its secrets; without, they stay' },
  },
  examples: [
    'galley hooks apply stripe stripe.json --secret first=@stripe-secret.txt',
    'galley hooks apply stripe stripe.json',
  ],
  async run(context, [name, path], options) {
    const body = await documentIn(context, path!)
    const given = await secretsIn(context, options.secret)
    const source = await (await context.galley()).request(
      'hooks.declare',
      { params: { source: name! }, body: { ...body, ...(given && { secrets: given }) } as never },
      { signal: context.signal },
    )
    return { json: source, text: await shown(context, source) }
  },
})

const list = command({
  words: 'hooks list',
  summary: 'List the sources of signed webhooks.',
  options: LIST_OPTIONS,
  examples: ['galley hooks list'],
  run: (context, _args, options) =>
    listed(context, options, {
      name: 'hooks.list',
      empty: 'No hook sources yet. Declare one with: galley hooks apply <name> <file>',
      columns: [
        { title: 'SOURCE', of: source => source.name },
        { title: 'SCHEME', of: source => source.scheme },
        { title: 'PATH', of: source => source.path },
        { title: 'KINDS', right: true, of: source => Object.keys(source.events).length },
        { title: 'SECRETS', of: source => source.secrets.map(({ name }) => name).join(' ') },
        { title: 'CHANGED', of: source => time(source.changed_at) },
      ],
    }),
})

const show = command({
  words: 'hooks show',
  takes: ['<name>'],
  summary: 'Show a source: its address, what it takes, and its secrets by name.',
  examples: ['galley hooks show stripe'],
  async run(context, [name]) {
    const input = { params: { source: name! } }
    const galley = await context.galley()
    const source = await galley.request('hooks.get', input, { signal: context.signal })
    return { json: source, text: await shown(context, source) }
  },
})

const remove = command({
  words: 'hooks remove',
  takes: ['<name>'],
  summary: 'Remove a source; its address answers nobody from then on.',
  examples: ['galley hooks remove stripe'],
  async run({ galley, signal }, [name]) {
    const input = { params: { source: name! } }
    const source = await (await galley()).request('hooks.remove', input, { signal })
    return { json: source, text: `Removed "${source.name}".` }
  },
})

const addSecret = command({
  words: 'hooks add-secret',
  takes: ['<name>', '<secret-name>', '<secret>'],
  summary: 'Take signatures by one more secret, for as long as one follows another.',
  about: SECRET,
  examples: ['galley hooks add-secret stripe second @stripe-secret.txt'],
  async run(context, [name, secretName, given]) {
    const params = { source: name!, secret_name: secretName! }
    const body = { secret: await secretIn(context, given!) }
    const galley = await context.galley()
    const { signal } = context
    const source = await galley.request('hooks.add_secret', { params, body }, { signal })
    return { json: source, text: await shown(context, source) }
  },
})

const removeSecret = command({
  words: 'hooks remove-secret',
  takes: ['<name>', '<secret-name>'],
  summary: 'Take no more signatures by a secret; everywhere within ten seconds.',
  examples: ['galley hooks remove-secret stripe first'],
  async run(context, [name, secretName]) {
    const params = { source: name!, secret_name: secretName! }
    const galley = await context.galley()
    const { signal } = context
    const source = await galley.request('hooks.remove_secret', { params }, { signal })
    return { json: source, text: await shown(context, source) }
  },
})

export const hooks: Command[] = [list, show, apply, addSecret, removeSecret, remove]

async function shown({ terminal, target }: Context, source: Reply<'hooks.get'>): Promise<string> {
  const { name, scheme, path, tolerance_s, secrets, events } = source
  const head = fields(terminal, {
    source: name,
    scheme,
    address: `${(await target()).url}${path}`,
    secrets: secrets.map(each => `${each.name} (${time(each.added_at)})`).join(', '),
    tolerance: `${tolerance_s} s`,
  })
  const rows = Object.entries(events).map(([kind, rule]) => ({ kind, ...rule }))
  const columns = [
    { title: 'KIND', of: (row: (typeof rows)[number]) => row.kind },
    { title: 'EVENT TYPE', of: (row: (typeof rows)[number]) => row.type },
    {
      title: 'FIELDS',
      of: ({ fields = {} }: (typeof rows)[number]) =>
        Object.entries(fields)
          .map(([field, pointer]) => `${field}=${pointer}`)
          .join(' '),
    },
  ]
  return `${head}\n\n${table(terminal, columns, rows)}`
}

async function secretsIn(where: Context, given: string[]) {
  if (given.length === 0) return undefined
  const found: Record<string, string> = {}
  for (const text of given) {
    const [name, value] = pair('--secret', text)
    found[name] = await secretIn(where, value)
  }
  return found
}

/** Files and what is piped end with a line break that no secret has. */
async function secretIn({ terminal, cwd }: Context, text: string): Promise<string> {
  if (text === '-') return lineOf(await terminal.input())
  if (!text.startsWith('@')) return text
  return lineOf(await readFile(resolve(cwd, text.slice(1)), 'utf8'))
}

function lineOf(text: string): string {
  const secret = text.trimEnd()
  if (secret !== '' && !/\s/.test(secret)) return secret
  throw new UsageError('A secret is one word on one line.')
}
