/** How long a lease holds, known to those who give it and those who keep it. */

/** A lease outlives three missed heartbeats. */
export const LEASE_MS = 15_000
export const HEARTBEAT_MS = 4_000
