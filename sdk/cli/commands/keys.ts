/** API keys: what a program may do, and to whom its work is charged. */
import { type ApiKey, type IssuedKey, SCOPES } from '../../client.ts'
import { type Command, command, UsageError } from '../command.ts'
import { list, pair, pairs, seconds, time, timestamp } from '../format.ts'
import { fields } from '../table.ts'
import { LIST_OPTIONS, listed } from './listing.ts'

type Scope = (typeof SCOPES)[number]

const create = command({
  words: 'keys create',
  takes: ['<name>'],
  summary: 'Create an API key, which is shown this once.',
  about: `Scopes: ${SCOPES.slice(0, 6).join(' ')}\n        ${SCOPES.slice(6).join(' ')}`,
  options: {
    scopes: { value: 'list', help: 'what it may do, separated by commas, or "all"' },
    project: { value: 'name', help: 'the project that its work is charged to' },
    tag: { value: 'name=value', many: true, help: 'stands in every receipt of its work' },
    expires: { value: 'when', help: 'such as 90d, or 2027-01-01; never, if not given' },
  },
  examples: [
    'galley keys create shop --scopes infer',
    'galley keys create nightly --scopes infer,jobs:read,jobs:write,files:write --project churn --tag team=growth --expires 90d',
  ],
  async run({ galley, terminal, signal }, [name], options) {
    const body = {
      name: name!,
      scopes: scopesOf(options.scopes),
      project: options.project,
      tags: Object.fromEntries(options.tag.map(text => pair('--tag', text))),
      expires_at: options.expires === undefined ? undefined : expiry(options.expires),
    }
    const key = await (await galley()).request('keys.create', { body }, { signal })
    return { json: key, text: fields(terminal, issued(key)) + KEEP }
  },
})

const rotate = command({
  words: 'keys rotate',
  takes: ['<id>'],
  summary: 'Issue a successor; the old key works on for the overlap.',
  options: { overlap: { value: 'time', help: 'how long the old key works on (1d)' } },
  examples: [
    'galley keys rotate key_01k9zv4n8m5p7q2r3s6t8w9x0y --overlap 7d',
    'galley keys rotate key_01k9zv4n8m5p7q2r3s6t8w9x0y --overlap 0s',
  ],
  async run({ galley, terminal, signal }, [id], { overlap = '1d' }) {
    const input = { params: { key_id: id! }, body: { overlap_s: seconds('--overlap', overlap) } }
    const key = await (await galley()).request('keys.rotate', input, { signal })
    return { json: key, text: fields(terminal, issued(key)) + KEEP }
  },
})

const revoke = command({
  words: 'keys revoke',
  takes: ['<id>'],
  summary: 'Revoke an API key, everywhere within ten seconds.',
  examples: ['galley keys revoke key_01k9zv4n8m5p7q2r3s6t8w9x0y'],
  async run({ galley, signal }, [id]) {
    const input = { params: { key_id: id! } }
    const key = await (await galley()).request('keys.revoke', input, { signal })
    return { json: key, text: `Revoked "${key.name}" (${key.id}).` }
  },
})

const listing = command({
  words: 'keys list',
  summary: 'List API keys, revoked ones included.',
  options: LIST_OPTIONS,
  examples: ['galley keys list'],
  run: (context, _args, options) =>
    listed(context, options, {
      name: 'keys.list',
      empty: 'No keys yet. Create one with: galley keys create <name> --scopes infer',
      columns: [
        { title: 'ID', of: key => key.id },
        { title: 'NAME', of: key => key.name },
        { title: 'STATE', of: stateOf },
        { title: 'PROJECT', of: key => key.project ?? '-' },
        { title: 'TAGS', of: key => pairs(key.tags) },
        {
          title: 'SCOPES',
          of: key => (key.scopes.length === SCOPES.length ? 'all' : key.scopes.join(' ')),
        },
      ],
    }),
})

export const keys: Command[] = [listing, create, rotate, revoke]

const KEEP = '\nKeep the key: it is not shown again.'

function issued(key: IssuedKey) {
  return {
    name: key.name,
    id: key.id,
    key: key.key,
    scopes: key.scopes.join(' '),
    expires: key.expires_at === null ? 'never' : time(key.expires_at),
  }
}

function stateOf({ revoked_at, expires_at }: ApiKey): string {
  if (revoked_at !== null) return `revoked ${time(revoked_at)}`
  if (expires_at === null) return 'active'
  return `${Date.parse(expires_at) <= Date.now() ? 'expired' : 'until'} ${time(expires_at)}`
}

function scopesOf(text: string | undefined): Scope[] {
  if (text === undefined) {
    throw new UsageError(`What may it do? Add --scopes with some of ${SCOPES.join(',')}, or "all".`)
  }
  if (text === 'all') return [...SCOPES]
  const given = list(text)
  const unknown = given.find(scope => !SCOPES.includes(scope as Scope))
  if (unknown === undefined && given.length > 0) return given as Scope[]
  throw new UsageError(`"${unknown ?? ''}" is no scope; there are ${SCOPES.join(', ')}.`)
}

function expiry(text: string): string {
  if (!/^\d+[smhd]$/.test(text)) return timestamp('--expires', text)
  return new Date(Date.now() + seconds('--expires', text) * 1000).toISOString()
}
