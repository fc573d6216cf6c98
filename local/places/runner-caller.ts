/** Requests that find no runner, told to the functions: capacity is decided from what they write down. */
import type { EdgeDeps } from '#edge/deps.ts'
import { ask } from '#edge/functions-client.ts'
import type { CallRunner } from '#gpu-runners/routing/calling.ts'

export function runnerCaller(deps: Pick<EdgeDeps, 'functions' | 'signer' | 'clock'>): CallRunner {
  return hardware => ask(deps, '/internal/runners/call', { hardware })
}
