/**
 * Protection from being scaled in, asked of ECS's agent beside this container ("Task scale-in protection
 * endpoint", ECS developer guide): held while there is leased work, given back with the last of it. It
 * is a courtesy of the platform, and nothing here waits for it.
 */
import type { Log } from '#core/deps.ts'

const PATH = '/task-protection/v1/state'
/** It ends by itself where a runner hangs; one that works renews it in time. */
const EXPIRES_MIN = 10
const RENEW_MS = 4 * 60_000
const RETRY_MS = 5_000
const ANSWER_MS_MAX = 5_000

export type Protection = {
  /** From now until the returned function is called; any number at a time. */
  hold(): () => void
  /** Resolves when the agent has been told how things stand, or could not be. */
  settled(): Promise<void>
}

/** Where there is no agent, nobody scales in: nothing is asked. */
export const UNPROTECTED: Protection = { hold: () => () => {}, settled: async () => {} }

/** The same, and something else is held for as long. */
export function alsoHolding(protection: Protection, hold: Protection['hold']): Protection {
  return {
    ...protection,
    hold() {
      const ends = [protection.hold(), hold()]
      return () => {
        for (const end of ends) end()
      }
    },
  }
}

/** `agentUrl`: what ECS gives the container as `ECS_AGENT_URI`. */
export function taskProtection(deps: { log: Log }, agentUrl: string): Protection {
  const url = agentUrl.replace(/\/$/, '') + PATH
  let held = 0
  /** What the agent has said last; null: it may be either. */
  let known: boolean | null = false
  let telling: Promise<void> | null = null
  let again: NodeJS.Timeout | null = null
  let isTold = false

  /** One question at a time: what changed meanwhile is told after it. */
  function reconcile(renewing = false): void {
    if (telling || (!renewing && known === held > 0)) return
    if (again) clearTimeout(again)
    again = null
    telling = tell(held > 0).finally(() => {
      telling = null
      if (known !== null) reconcile()
    })
  }

  async function tell(wanted: boolean): Promise<void> {
    try {
      await put(wanted)
      known = wanted
      isTold = false
    } catch (error) {
      known = null
      if (!isTold) deps.log.error('runner.not_protected', { wanted, error: String(error) })
      isTold = true
    }
    if (known === null) again = setTimeout(reconcile, RETRY_MS).unref()
    else if (wanted) again = setTimeout(reconcile, RENEW_MS, true).unref()
  }

  async function put(wanted: boolean): Promise<void> {
    const body = wanted
      ? { ProtectionEnabled: true, ExpiresInMinutes: EXPIRES_MIN }
      : { ProtectionEnabled: false }
    const response = await fetch(url, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      redirect: 'error',
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
    })
    const text = await response.text()
    // A refusal comes as `failure` or `error`, with one status or another.
    const said = response.ok && JSON.parse(text).protection?.ProtectionEnabled
    if (said !== wanted) throw new Error(`ECS agent: ${response.status} ${text.slice(0, 300)}`)
  }

  return {
    hold() {
      held++
      reconcile()
      let isHeld = true
      return () => {
        if (!isHeld) return
        isHeld = false
        held--
        reconcile()
      }
    },
    async settled() {
      while (telling) await telling
    },
  }
}
