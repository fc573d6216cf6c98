/** Logging in: a URL and a key, proven to work and then kept for later commands. */
import { Galley, type Reply } from '../../client.ts'
import { type Context, command, UsageError } from '../command.ts'
import type { Target } from '../connect.ts'
import { pairs, time } from '../format.ts'
import { storeProfile } from '../profiles.ts'
import { fields } from '../table.ts'

const URL_DEFAULT = 'http://127.0.0.1:4500'

export const login = command({
  words: 'login',
  summary: 'Store the URL and the API key that other commands use.',
  about: `What is missing is asked for; where stdin is no terminal, the key is its first line. The key is
checked before it is stored, in a file that only you can read. --profile stores several.`,
  examples: [
    'galley login --url http://127.0.0.1:4500',
    'galley login --url https://galley.example.com --profile work < key.txt',
  ],
  async run(context) {
    const { environment, connector, signal } = context
    const url = connector.url ?? environment.url ?? (await askUrl(context))
    const key = connector.key ?? environment.key ?? (await askKey(context))
    const name = connector.profile ?? environment.profile ?? 'default'
    const galley = new Galley({ baseUrl: url, key })
    const self = await galley.request('keys.whoami', {}, { signal })
    const { baseUrl } = galley.connection
    const path = await storeProfile(environment.configFolder, name, { url: baseUrl, key })
    return {
      json: { profile: name, url: baseUrl, path, ...self },
      text: `Logged in to ${baseUrl} as "${self.key.name}" of ${self.tenant.name}; the profile "${name}" is in ${path}.`,
    }
  },
})

export const whoami = command({
  words: 'whoami',
  summary: 'Show which Galley, tenant and key commands use.',
  examples: ['galley whoami', 'galley whoami --profile work --json'],
  async run(context) {
    const target = await context.target()
    const galley = await context.galley()
    const self = await galley.request('keys.whoami', {}, { signal: context.signal })
    return {
      json: { url: target.url, from: target.from, ...self },
      text: shown(context, target, self),
    }
  },
})

function shown({ terminal }: Context, target: Target, { tenant, key }: Reply<'keys.whoami'>) {
  return fields(terminal, {
    url: target.url,
    from: target.from,
    tenant: `${tenant.name} (${tenant.id}, plan ${tenant.plan})`,
    key: `${key.name} (${key.id})`,
    scopes: key.scopes.join(' '),
    project: key.project ?? undefined,
    tags: Object.keys(key.tags).length > 0 ? pairs(key.tags) : undefined,
    expires: key.expires_at === null ? 'never' : time(key.expires_at),
  })
}

async function askUrl({ terminal, signal }: Context): Promise<string> {
  if (!terminal.isInTty) throw new UsageError('Which Galley? Add --url, or set GALLEY_URL.')
  return (await terminal.ask(`URL [${URL_DEFAULT}]: `, { signal })) || URL_DEFAULT
}

async function askKey({ terminal, signal }: Context): Promise<string> {
  const key = terminal.isInTty
    ? await terminal.ask('API key (not shown): ', { hidden: true, signal })
    : (await terminal.input()).split('\n')[0]!.trim()
  if (key === '') throw new UsageError('Which key? Add --key, set GALLEY_KEY, or give it on stdin.')
  return key
}
