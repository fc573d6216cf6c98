/** Tenants: separate customers or teams, each with keys, models and bills of its own. */
import type { Tenant } from '../../client.ts'
import { type Command, command, UsageError } from '../command.ts'
import { time } from '../format.ts'
import { fields } from '../table.ts'
import { LIST_OPTIONS, listed } from './listing.ts'

const fieldsOf = ({ name, id, plan, limits, created_at }: Tenant) => ({
  tenant: name,
  id,
  plan,
  runners: limits.runners === null ? 'any number' : `at most ${limits.runners}`,
  created: time(created_at),
})

export const tenants: Command[] = [
  command({
    words: 'tenants list',
    summary: 'List your tenant and those that it created.',
    options: LIST_OPTIONS,
    examples: ['galley tenants list', 'galley tenants list --all --json'],
    run: (context, _args, options) =>
      listed(context, options, {
        name: 'tenants.list',
        empty: 'No tenants yet. Create one with: galley tenants create <name>',
        columns: [
          { title: 'ID', of: tenant => tenant.id },
          { title: 'NAME', of: tenant => tenant.name },
          { title: 'PLAN', of: tenant => tenant.plan },
          { title: 'CREATED', of: tenant => time(tenant.created_at) },
        ],
      }),
  }),
  command({
    words: 'tenants create',
    takes: ['<name>'],
    summary: 'Create a tenant and its first API key, which is shown this once.',
    examples: [
      'galley tenants create "Acme Research"',
      'galley tenants create acme --json | jq -r .key.key',
    ],
    async run({ galley, terminal, signal }, [name]) {
      const input = { body: { name: name! } }
      const created = await (await galley()).request('tenants.create', input, { signal })
      const { tenant, key } = created
      const shown = fields(terminal, { ...fieldsOf(tenant), key: key.key })
      return { json: created, text: `${shown}\nKeep the key: it is not shown again.` }
    },
  }),
  command({
    words: 'tenants get',
    takes: ['<id>'],
    summary: 'Show one tenant.',
    examples: ['galley tenants get ten_01k9zv4n8m5p7q2r3s6t8w9x0y'],
    async run({ galley, terminal, signal }, [id]) {
      const input = { params: { tenant_id: id! } }
      const tenant = await (await galley()).request('tenants.get', input, { signal })
      return { json: tenant, text: fields(terminal, fieldsOf(tenant)) }
    },
  }),
  command({
    words: 'tenants limit',
    takes: ['<id>', '<runners>'],
    summary: 'Set how many runners its queued work may call for; "off" is as many as there may be.',
    examples: [
      'galley tenants limit ten_01k9zv4n8m5p7q2r3s6t8w9x0y 4',
      'galley tenants limit ten_01k9zv4n8m5p7q2r3s6t8w9x0y off',
    ],
    async run({ galley, terminal, signal }, [id, runners]) {
      const input = { params: { tenant_id: id! }, body: { runners: runnersOf(runners!) } }
      const tenant = await (await galley()).request('tenants.limit', input, { signal })
      return { json: tenant, text: fields(terminal, fieldsOf(tenant)) }
    },
  }),
]

function runnersOf(text: string): number | null {
  if (text === 'off') return null
  const runners = Number(text)
  if (text !== '' && Number.isSafeInteger(runners)) return runners
  throw new UsageError(`<runners> is a whole number from 1 or "off", not "${text}".`)
}
