/** What the load balancer of routers and the routers themselves both go by. */
import { DEADLINE_MS_MAX } from '../serving.ts'

/** A router answers a request whose deadline has passed a moment later. */
const LATE_S = 10

/**
 * Seconds for which a connection of the load balancer may say nothing: longer than a request may take. Who it
 * leads to keeps its connections for longer still, or a request would meet one that is just being closed, and
 * be a 502.
 */
export const BALANCER_IDLE_S = DEADLINE_MS_MAX / 1_000 + LATE_S
