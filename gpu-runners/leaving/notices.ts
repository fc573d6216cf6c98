/**
 * The cloud's word that it takes a spot machine back: some two minutes before, on best effort ("Spot
 * Instance interruption notices", EC2 user guide). Where a container runs on Fargate's spot capacity,
 * SIGTERM is the notice and there is nothing to ask.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock, Log } from '#core/deps.ts'
import type { InstanceMetadata } from './metadata.ts'

/** As EC2 advises. */
const POLL_MS = 5_000
/** Once the cloud has said that the machine is at risk: of two minutes, five seconds are worth having. */
const AT_RISK_POLL_MS = 1_000
/** What a notice is taken to leave where it does not say so. */
const NOTICE_MS = 120_000

const ACTION_PATH = 'spot/instance-action'
const REBALANCE_PATH = 'events/recommendations/rebalance'

/** Of a notice's time: for what comes between this process and the end of its machine. */
const MARGIN_MS = 5_000
/** A machine whose time is up, or whose clock says so, is still there: that is enough to hand back. */
const LEFT_MS_LEAST = 1_000

/** `at`: when the machine goes, Unix milliseconds. */
export type Notice = { action: string; at: number }

/** Milliseconds that a notice leaves to go in, of those that a stop would have had; never none. */
export function leftMs({ at }: Notice, now: number, stopMs: number): number {
  return Math.max(LEFT_MS_LEAST, Math.min(stopMs, at - now - MARGIN_MS))
}

/** Asks until a notice has come, and tells of it once; or until the signal fires. Never throws. */
export async function watchNotices(
  deps: { metadata: InstanceMetadata; clock: Clock; log: Log },
  onNotice: (notice: Notice) => void,
  signal: AbortSignal,
): Promise<void> {
  const { metadata, clock, log } = deps
  let isAtRisk = false
  let isSilent = false
  while (!signal.aborted) {
    try {
      const said = await metadata.read(ACTION_PATH, signal)
      if (said !== null) {
        const notice = noticeOf(said, clock.now())
        log.info('runner.notice', notice)
        onNotice(notice)
        return
      }
      // Earlier than a notice, and without a promise: no reason to leave, one to look more often.
      if (!isAtRisk && (await metadata.read(REBALANCE_PATH, signal)) !== null) {
        isAtRisk = true
        log.info('runner.at_risk')
      }
      isSilent = false
    } catch (error) {
      if (signal.aborted) return
      if (!isSilent) log.error('runner.notices_unreadable', { error: String(error) })
      isSilent = true
    }
    const pauseMs = isAtRisk ? AT_RISK_POLL_MS : POLL_MS
    await sleep(pauseMs, undefined, { signal }).catch(() => {})
  }
}

/** A notice that cannot be read is one all the same: the machine goes whether or not it was understood. */
function noticeOf(text: string, now: number): Notice {
  const fallback = { action: 'unknown', at: now + NOTICE_MS }
  try {
    const { action, time } = JSON.parse(text) as { action?: unknown; time?: unknown }
    const at = Date.parse(String(time))
    return { action: String(action), at: Number.isNaN(at) ? fallback.at : at }
  } catch {
    return fallback
  }
}
