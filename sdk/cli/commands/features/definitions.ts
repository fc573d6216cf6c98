/** A file of definitions: what each would become, and made so, in the order in which they build on each other. */
import { isDeepStrictEqual } from 'node:util'
import type { Galley } from '../../../client.ts'
import { GalleyError } from '../../../error.ts'
import { type Context, UsageError } from '../../command.ts'
import { documentIn } from '../../json-document.ts'
import { table } from '../../table.ts'

/** In this order each finds what it builds on. */
const PARTS = ['event_types', 'views', 'services'] as const
type Part = (typeof PARTS)[number]
type Definition = { part: Part; name: string; body: never }
type Warning = { pointer: string; detail: string }
/** `next?`: the server can tell only once what this builds on is there. */
type Fate = 'new' | 'same' | 'next' | 'next?'
export type Change = {
  part: Part
  name: string
  change: Fate
  version: number | null
  hash: string
  warnings: Warning[]
}

export async function definitionsIn(context: Context, path: string): Promise<Definition[]> {
  const file = await documentIn(context, path)
  const unknown = Object.keys(file).find(name => !PARTS.includes(name as Part))
  if (unknown !== undefined) {
    throw new UsageError(`The file holds "${unknown}"; it may hold ${PARTS.join(', ')}.`)
  }
  return PARTS.flatMap(part => {
    const given = file[part] ?? {}
    if (typeof given !== 'object' || Array.isArray(given)) {
      throw new UsageError(`"${part}" must be an object of definitions by name.`)
    }
    return Object.entries(given).map(([name, body]) => ({ part, name, body: body as never }))
  })
}

/** `before`: what was planned of the same file so far. */
export async function planned(
  galley: Galley,
  each: Definition,
  before: Change[],
  signal: AbortSignal,
): Promise<Change> {
  const { part, name, body } = each
  const changed = before.filter(({ change }) => change !== 'same')
  const needs = changed.filter(other => builtOn(each).includes(`${other.part}/${other.name}`))
  try {
    if (part === 'event_types') return await typePlanned(galley, each, signal)
    const found =
      part === 'views'
        ? await galley.request('views.plan', { params: { view: name }, body }, { signal })
        : await galley.request('services.plan', { params: { service: name }, body }, { signal })
    // A service pins the versions of its views.
    const moves = part === 'services' && needs.length > 0 && found.change === 'same'
    return {
      part,
      ...found,
      ...(moves && { change: 'next', version: found.version + 1, hash: '' }),
    }
  } catch (error) {
    const unseen = needs.length > 0 && error instanceof GalleyError && error.status === 422
    if (!unseen) throw told(each, error)
    const version = await versionOf(galley, each, signal)
    const change = version === null ? 'new' : 'next?'
    return { part, name, change, version: (version ?? 0) + 1, hash: '', warnings: [later(needs)] }
  }
}

export async function applied(
  galley: Galley,
  each: Definition,
  before: Change[],
  signal: AbortSignal,
): Promise<Change> {
  const { part, name, body } = each
  try {
    const old = await versionOf(galley, each, signal)
    const made = await put(galley, { part, name, body }, signal)
    const change = old === null ? 'new' : old === made.version ? 'same' : 'next'
    return { part, name, change, ...made }
  } catch (error) {
    const done = before.map(other => `${wordOf(other.part)} "${other.name}"`)
    throw told(each, error, done.length > 0 ? ` Applied before it: ${done.join(', ')}.` : '')
  }
}

export function changesText({ terminal }: Context, changes: Change[]): string {
  if (changes.length === 0) return `The file defines nothing; it may hold ${PARTS.join(', ')}.`
  const rows = table(
    terminal,
    [
      { title: 'WHAT', of: (row: Change) => wordOf(row.part) },
      { title: 'NAME', of: row => row.name },
      { title: 'CHANGE', of: row => row.change },
      { title: 'VERSION', right: true, of: row => row.version ?? '-' },
      { title: 'HASH', of: row => row.hash.slice(0, 12) || '-' },
    ],
    changes,
  )
  const warnings = changes.flatMap(({ name, warnings }) =>
    warnings.map(({ pointer, detail }) => `warning: ${name}${pointer}: ${detail}`),
  )
  return [rows, ...warnings].join('\n')
}

/** A type has no plan of its own: that it is new or the same is seen from here, the rest when it is declared. */
async function typePlanned(galley: Galley, each: Definition, signal: AbortSignal): Promise<Change> {
  const { part, name, body } = each
  const old = await found(() =>
    galley.request('event_types.get', { params: { type: name } }, { signal }),
  )
  if (old === null) return { part, name, change: 'new', version: 1, hash: '', warnings: [] }
  if (isSame(body, old)) {
    return { part, name, change: 'same', version: old.version, hash: '', warnings: [] }
  }
  const detail = 'whether every event that fitted still fits is told when it is applied.'
  const warnings = [{ pointer: '', detail }]
  return { part, name, change: 'next?', version: old.version + 1, hash: '', warnings }
}

type Contract = { fields: unknown; entities: unknown; online_days?: number; checks?: object }

/** What a contract without `online_days` gets, by schemas/contracts/events.ts. */
const ONLINE_DAYS = 40

function isSame(given: Partial<Contract>, stored: Contract): boolean {
  const checks = Object.entries(given.checks ?? {})
  const known = Object.entries(stored.checks ?? {})
  return (
    isDeepStrictEqual(given.fields, stored.fields) &&
    isDeepStrictEqual(given.entities, stored.entities) &&
    (given.online_days ?? ONLINE_DAYS) === stored.online_days &&
    checks.length === known.length &&
    // Stored checks have defaults beside what was said.
    checks.every(([name, check]) => {
      const [, other] = known.find(each => each[0] === name) ?? []
      return other !== undefined && isDeepStrictEqual({ ...other, ...check }, other)
    })
  )
}

async function put(galley: Galley, { part, name, body }: Definition, signal: AbortSignal) {
  if (part === 'event_types') {
    const input = { params: { type: name }, body }
    const { version } = await galley.request('event_types.declare', input, { signal })
    return { version, hash: '', warnings: [] }
  }
  const { version, hash, warnings } =
    part === 'views'
      ? await galley.request('views.apply', { params: { view: name }, body }, { signal })
      : await galley.request('services.apply', { params: { service: name }, body }, { signal })
  return { version, hash, warnings }
}

async function versionOf(
  galley: Galley,
  { part, name }: Definition,
  signal: AbortSignal,
): Promise<number | null> {
  const stored = await found<{ version: number }>(() => {
    if (part === 'event_types')
      return galley.request('event_types.get', { params: { type: name } }, { signal })
    return part === 'views'
      ? galley.request('views.get', { params: { view: name } }, { signal })
      : galley.request('services.get', { params: { service: name } }, { signal })
  })
  return stored?.version ?? null
}

async function found<T>(ask: () => Promise<T>): Promise<T | null> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof GalleyError && error.status === 404) return null
    throw error
  }
}

/** What a definition builds on, as `part/name`. */
function builtOn({ part, body }: Definition): string[] {
  const { event_type, features } = (body ?? {}) as { event_type?: unknown; features?: unknown }
  if (part === 'views') return [`event_types/${event_type}`]
  if (part !== 'services' || !Array.isArray(features)) return []
  return features.map(feature => `views/${String(feature).split(':')[0]}`)
}

function later(needs: Change[]): Warning {
  const names = needs.map(({ part, name }) => `${wordOf(part)} "${name}"`).join(', ')
  return { pointer: '', detail: `checked when it is applied, after ${names} of this file.` }
}

/** The same fault, with whose definition it is. */
function told({ part, name }: Definition, error: unknown, more = ''): unknown {
  if (!(error instanceof GalleyError) || error.status === 0) return error
  const { code, detail, status, requestId, errors } = error
  const stop = more && !/[.?!]$/.test(detail) ? '.' : ''
  return new GalleyError(code, `${wordOf(part)} "${name}": ${detail}${stop}${more}`, {
    status,
    ...(requestId !== undefined && { requestId }),
    ...(errors && { errors }),
    cause: error,
  })
}

const wordOf = (part: Part) => part.replace('_', ' ').replace(/s$/, '')
