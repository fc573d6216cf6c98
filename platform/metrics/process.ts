/** What a process on Node takes of its machine. Names are those that Prometheus clients agree on. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Registry } from './registry.ts'

const LOOP_RESOLUTION_MS = 20

export function measureProcess(registry: Registry): void {
  const cpu = registry
    .counter('process_cpu_seconds_total', 'User and system time, in seconds.')
    .of()
  const resident = registry.gauge('process_resident_memory_bytes', 'Resident memory.').of()
  const started = registry.gauge('process_start_time_seconds', 'When it started, Unix time.').of()
  const lag = registry
    .gauge('galley_event_loop_lag_seconds', 'The 99th percentile since the last reading.')
    .of()
  started.set(Math.round(performance.timeOrigin) / 1_000)
  // It costs a timer, so it begins with the first reading.
  let loop: ReturnType<typeof monitorEventLoopDelay> | null = null
  registry.onRead(() => {
    const { user, system } = process.cpuUsage()
    cpu.set((user + system) / 1e6)
    resident.set(process.memoryUsage.rss())
    if (loop) lag.set(Math.max(0, loop.percentile(99) / 1e9 - LOOP_RESOLUTION_MS / 1_000))
    loop ??= monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS })
    loop.reset()
    loop.enable()
  })
}
