/**
 * Seconds for which a connection of the load balancer may say nothing: the latest deadline of a request. Who it
 * leads to keeps its connections for longer, or a request would meet one that is just being closed, and be a 502.
 */
export const BALANCER_IDLE_S = 120
