/**
 * Places of an earlier Galley on this folder that outlived it. They end by themselves when its pipe
 * closes; one that hangs would still write to the folder, so it is ended before the next start.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'

const PATIENCE_MS = 3500
const STEP_MS = 25

/** Resolves when none is left; returns the pids that had to be killed. Call it with the lock held. */
export async function clearStrays(dataFolder: string): Promise<number[]> {
  for (let waited = 0; waited < PATIENCE_MS; waited += STEP_MS) {
    if (straysOf(dataFolder).length === 0) return []
    await pause(STEP_MS)
  }
  const killed = straysOf(dataFolder)
  for (const pid of killed) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It ended in the meantime.
    }
  }
  return killed
}

/** A place works inside the data folder and was told so; a shell that someone left there was not. */
function straysOf(dataFolder: string): number[] {
  if (process.platform !== 'linux') return []
  const home = statSync(dataFolder)
  const mark = `\0GALLEY_DATA=${dataFolder}\0`
  return readdirSync('/proc')
    .filter(entry => /^\d+$/.test(entry) && Number(entry) !== process.pid)
    .filter(entry => {
      try {
        const at = statSync(`/proc/${entry}/cwd`)
        if (at.ino !== home.ino || at.dev !== home.dev) return false
        return `\0${readFileSync(`/proc/${entry}/environ`, 'latin1')}`.includes(
          Buffer.from(mark).toString('latin1'),
        )
      } catch {
        return false
      }
    })
    .map(Number)
}
