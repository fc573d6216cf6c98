/** How a model is served besides being run: how long a request may take, and what its tenant has opted into. */

/** Of one that says nothing. */
export const DEADLINE_MS_DEFAULT = 30_000
/** Long past any answer worth having; a load balancer waits for longer (`cloud/balancer.ts`). */
export const DEADLINE_MS_MAX = 120_000

/** Answers kept at the edge. `bytes_max`: of all of the model's answers that one edge process keeps. */
export type CacheSetting = { ttl_s: number; bytes_max: number }

/**
 * A sample of what a model is asked and answers, kept for so many days. `subject`: whom a request is about, as
 * the entity of that kind whose key stands in this parameter of the request; one without it is not kept.
 */
export type LogSetting = {
  sample: number
  retention_days: number
  subject?: { entity: string; parameter: string }
}

/** Absent parts: not opted in. */
export type Serving = { cache?: CacheSetting; inference_log?: LogSetting }
