/** What the processes of one machine take from the environment that Galley was started in. */

import { classOf } from '#gpu-runners/env.ts'
import { USUAL_CLASS } from '#schemas/cloud/pools.ts'

/** Names, and beginnings of names, that a place may need; the rest of a shell's secrets stay out. */
const PASSED = ['PATH', 'HOME', 'USER', 'LANG', 'TZ', 'TMPDIR']
const PASSED_PREFIXES = [
  'LC_',
  'GALLEY_',
  'AWS_',
  'NODE_',
  'OTEL_',
  'SSL_CERT_',
  'HTTP_PROXY',
  'HTTPS_PROXY',
]

export function inheritedEnv(): Record<string, string> {
  const passed = Object.entries(process.env).filter(
    ([name]) => PASSED.includes(name) || PASSED_PREFIXES.some(prefix => name.startsWith(prefix)),
  )
  const { GALLEY_LAUNCHED: _, ...env } = Object.fromEntries(passed)
  return env as Record<string, string>
}

/** The class of this machine's runners, of which a pool starts some when there is work for them. */
export const ownClass = () => classOf(process.env)

/** Classes whose work they do: by this a pool of them is sized. */
export function workedFor(): [string, ...string[]] {
  const own = ownClass()
  const isAlone = own === USUAL_CLASS || process.env.GALLEY_DEDICATED === 'true'
  return isAlone ? [own] : [USUAL_CLASS, own]
}

/** True when the launcher holds a pipe to us at file 3, whose end means that it is gone. */
export function isLaunched(): boolean {
  return process.env.GALLEY_LAUNCHED === '1'
}

/** The domain of whoever deploys from here, where it is said. */
export function deployedDomain(): string | undefined {
  return process.env.GALLEY_DOMAIN
}
