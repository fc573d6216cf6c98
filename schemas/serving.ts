/** How a model is served besides being run: what its tenant has opted into. */

/** Answers kept at the edge. `bytes_max`: of all of the model's answers that one edge process keeps. */
export type CacheSetting = { ttl_s: number; bytes_max: number }

/** Absent parts: not opted in. */
export type Serving = { cache?: CacheSetting }
