/** What a webhook says, as an event of a type here: by the rule for its kind, with pointers into its body. */
import type { EventType, Value } from '#schemas/event.ts'
import type { HookRule, HookScheme, HookSource } from '#schemas/hook.ts'
import type { RawEvent } from '../contract.ts'
import { textOf } from '../time.ts'

/** Where each scheme's payloads have the object, the time and the id that they tell of. */
const USUAL: Record<HookScheme, { data: string; time?: string; id?: string }> = {
  'standard-webhooks': { data: '/data', time: '/timestamp' },
  stripe: { data: '/data/object', time: '/created', id: '/id' },
  github: { data: '' },
}

/** The kinds that the sender may mean, the closest first; `*` is not among them. */
export function kindsOf(
  scheme: HookScheme,
  header: (name: string) => string | undefined,
  body: unknown,
): string[] {
  if (scheme !== 'github') return texts([at(body, '/type')])
  const event = header('x-github-event')
  const action = at(body, '/action')
  return texts([typeof action === 'string' && event && `${event}.${action}`, event])
}

/** The rule for it; null when the source wants none of its kind. */
export function ruleFor({ events }: HookSource, kinds: readonly string[]): HookRule | null {
  const kind = [...kinds, '*'].find(each => Object.hasOwn(events, each))
  return kind === undefined ? null : events[kind]!
}

/** The event, for its contract to judge. `id` is the one that came beside the body. */
export function rawEventOf(
  { scheme, name }: HookSource,
  rule: HookRule,
  contract: EventType,
  { id, body }: { id: string | null; body: unknown },
): RawEvent {
  const usual = USUAL[scheme]
  const given = rule.id ?? usual.id
  return {
    id: given === undefined ? (id ?? undefined) : idText(at(body, given)),
    source: sourceOf(name),
    type: contract.type,
    time: timeOf(body, rule.time ?? usual.time),
    data: dataOf(rule, rule.data ?? usual.data, contract, body),
  }
}

/** The CloudEvents source of all events of a hook source. */
export function sourceOf(name: string): string {
  return `/hooks/${name}`
}

function dataOf(rule: HookRule, base: string, { fields }: EventType, body: unknown) {
  const data: Record<string, unknown> = {}
  const object = at(body, base)
  for (const [name, { type }] of Object.entries(fields)) {
    const pointer = rule.fields?.[name]
    // What is not mapped is looked for by its name: a sender adds members as it likes, and they stay away.
    const value = pointer === undefined ? member(object, name) : at(body, pointer)
    if (value !== undefined) data[name] = type === 'time' ? timeText(value) : value
  }
  return data
}

function timeOf(body: unknown, pointer: string | undefined): unknown {
  const value = pointer === undefined ? undefined : at(body, pointer)
  return value === null ? undefined : timeText(value)
}

/** Unix seconds as RFC 3339; anything else as it is. */
function timeText(value: unknown): unknown {
  if (typeof value !== 'number') return value
  const micros = Math.round(value * 1e6)
  return Number.isSafeInteger(micros) && micros >= 0 ? textOf(micros) : value
}

function idText(value: unknown): unknown {
  return Number.isSafeInteger(value) ? String(value) : value
}

/** RFC 6901 §4; undefined when there is nothing. */
function at(value: unknown, pointer: string): unknown {
  if (pointer === '') return value
  return pointer
    .slice(1)
    .split('/')
    .reduce((found, part) => member(found, part.replaceAll('~1', '/').replaceAll('~0', '~')), value)
}

function member(value: unknown, name: string): unknown {
  if (value === null || typeof value !== 'object' || !Object.hasOwn(value, name)) return undefined
  return (value as Record<string, Value>)[name]
}

function texts(all: unknown[]): string[] {
  return all.filter(each => typeof each === 'string' && each !== '') as string[]
}
