/**
 * Webhooks at the edge: believed by their signature, made an event by their source's rules, and then taken
 * by the way of all events.
 */
import type { Context } from 'hono'
import type { Call } from '#core/caller.ts'
import { AppError } from '#core/error.ts'
import { checkedEvent } from '#core/events/contract.ts'
import { judged, kindsOf, rawEventOf, ruleFor } from '#core/events/hooks/hooks.ts'
import { HOOK_BODY_BYTES_MAX } from '#schemas/contracts/hooks.ts'
import type { Event } from '#schemas/event.ts'
import type { HookRule } from '#schemas/hook.ts'
import type { EdgeDeps } from '../deps.ts'
import type { EventTypeDirectory } from '../event-type-directory.ts'
import { ask } from '../functions-client.ts'
import type { HeldSource, HookDirectory } from '../hook-directory.ts'
import type { Limiter } from '../middleware/limits.ts'

type Needs = {
  deps: EdgeDeps
  hooks: HookDirectory
  eventTypes: EventTypeDirectory
  limits: Limiter
}

export async function receive(edge: Needs, c: Context, call: Call): Promise<Response> {
  const { deps, limits } = edge
  const held = await edge.hooks.resolve(c.req.param('source')!)
  // Before the body is read: nobody has to hold megabytes for an address that there is not.
  if (!held) throw unsigned()
  const { caller, source } = held
  const bytes = await deps.http.body(c, HOOK_BODY_BYTES_MAX)
  const header = (name: string) => deps.http.header(c, name)
  const id = await senderOf(deps, held, { header, body: bytes })
  // From here on it is the tenant's request; before, anybody could have used its limit up.
  call.caller = caller
  if (!limits.spendAtHand(caller, 'events', deps.clock.now())) await limits.spend(caller, 'events')
  const body = jsonOf(bytes, header('content-type'))
  const kinds = kindsOf(source.scheme, header, body)
  const rule = ruleFor(source, kinds)
  // Who sends has no use for a refusal of what was never wanted: it would only send it again.
  if (!rule) return Response.json({ accepted: 0, ignored: ignored(kinds) }, { status: 202 })
  const event = await eventOf(edge, held, rule, { id, body })
  const accepted = { tenantId: caller.tenantId, events: [event], trace: call.trace }
  await ask(deps, '/internal/events/accept', accepted)
  return Response.json({ accepted: 1 }, { status: 202 })
}

/** The id that the sender gave beside the body. Throws `invalid_signature`, for each reason alike. */
async function senderOf(
  { clock }: EdgeDeps,
  { source, keys }: HeldSource,
  received: Parameters<typeof judged>[2],
): Promise<string | null> {
  const about = { nowMs: clock.now(), toleranceS: source.tolerance_s }
  const found = await judged(source.scheme, keys, received, about)
  if (found.verdict === 'genuine') return found.id
  if (found.verdict === 'forged') throw unsigned()
  // Only who has the secret gets here.
  throw new AppError('invalid_signature', {
    public: `The signature is right, but its time is ${Math.round(found.offByS)} s from ours; tolerated are ${source.tolerance_s} s. Sign again with the time of now.`,
  })
}

async function eventOf(
  { deps, eventTypes }: Needs,
  { caller, source }: HeldSource,
  rule: HookRule,
  given: { id: string | null; body: unknown },
): Promise<Event> {
  const contract = await eventTypes.resolve(caller, rule.type)
  if (!contract) {
    throw new AppError('invalid_event', { public: `There is no event type "${rule.type}".` })
  }
  const raw = rawEventOf(source, rule, contract, given)
  const about = { tenantId: caller.tenantId, receivedAt: deps.clock.now() * 1_000 }
  const checked = checkedEvent(contract, raw, about)
  if ('event' in checked) return checked.event
  const { errors } = checked
  const [first] = errors
  throw new AppError('invalid_event', {
    public: `What "${source.name}" makes of it does not fit ${rule.type}: ${first!.pointer}: ${first!.detail}`,
    errors,
  })
}

function jsonOf(bytes: Uint8Array, contentType = ''): unknown {
  if (contentType.toLowerCase().startsWith('application/x-www-form-urlencoded')) {
    throw new AppError('unsupported_media_type', {
      public: 'A webhook is JSON here: choose the content type application/json at its sender.',
    })
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes))
  } catch (cause) {
    const says = `The body is not JSON: ${(cause as Error).message}`
    throw new AppError('invalid_event', { public: says })
  }
}

function ignored(kinds: string[]): string {
  const kind = kinds.at(-1)
  if (kind === undefined)
    return 'It does not say of what kind it is, and the source has no rule "*".'
  return `The source has no rule for "${kind.slice(0, 200)}".`
}

function unsigned(): AppError {
  return new AppError('invalid_signature', {
    public:
      'No source at this address signs so: check the address, the secret, and that the body is sent just as it was signed.',
  })
}
