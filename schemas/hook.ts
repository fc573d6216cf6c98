/** Sources of signed webhooks: who signs how, and what of a request becomes an event. */

/** By Standard Webhooks 1.0.0, by Stripe (`Stripe-Signature`, v1), by GitHub (`X-Hub-Signature-256`). */
export const HOOK_SCHEMES = ['standard-webhooks', 'stripe', 'github'] as const
export type HookScheme = (typeof HOOK_SCHEMES)[number]

/** What becomes of one kind of the sender's events. Pointers are JSON Pointers (RFC 6901) into the body. */
export type HookRule = {
  /** The event type here, by whose contract the event is judged. */
  type: string
  /** Field of the contract → where its value stands. */
  fields?: Record<string, string>
  /** Where the object stands whose members are taken by the contract's names; for fields not in `fields`. */
  data?: string
  /** When it happened: RFC 3339, or Unix seconds. */
  time?: string
  /** Takes the place of the sender's own id. */
  id?: string
}

/** A source as the edge uses it. */
export type HookSource = {
  name: string
  scheme: HookScheme
  /** The sender's kind of event, or `*` for all others → what becomes of it. */
  events: Record<string, HookRule>
  tolerance_s: number
}
