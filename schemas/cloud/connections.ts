/**
 * Connections to the control database, as data: functions open no more, and the stacks reckon from it how many
 * the database must have room for.
 */
import type { FunctionName } from './functions.ts'

/**
 * Of one invocation. No transaction waits for a second connection while it holds one, so that one is enough
 * for whoever does one thing after the other.
 */
export const CONNECTIONS: Record<FunctionName, number> = {
  // The request, and beside it what it promised on its way to the queues.
  api: 2,
  ingest: 1,
  verify: 1,
  relay: 1,
  // Batches of several tenants are placed side by side.
  sweep: 2,
  capacity: 1,
  // A lease is renewed while its work goes on.
  tend: 2,
  migrate: 1,
}
