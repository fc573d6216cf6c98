/** The same request again and again. */
import type { Work } from '../../../bench/live/open-loop.ts'

export function work(): Work {
  return { request: () => ({ path: '/', body: '{}' }) }
}
