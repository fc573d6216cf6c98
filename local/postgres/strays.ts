/**
 * Servers that an earlier, killed Galley left behind on a cluster. The pid file alone is no evidence:
 * its number may belong to another program by now. A process is ours when it is called postgres and
 * works inside this very folder.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Cluster } from './cluster.ts'

/** From a polite stop to the last resort, with the time that each gets. */
const ESCALATION: [NodeJS.Signals, number][] = [
  ['SIGINT', 5000],
  ['SIGQUIT', 5000],
  ['SIGKILL', 5000],
]

/** Ends what still serves this cluster and removes its pid file and socket. Returns whom it ended. */
export async function clearStrays(cluster: Cluster): Promise<number[]> {
  const strays = straysOf(cluster)
  let left = strays
  // Without their postmaster, backends take no polite request: they are told to quit at once.
  const orphaned = !strays.includes(recordedPid(cluster.folder) ?? -1)
  for (const [signal, waitMs] of orphaned ? ESCALATION.slice(1) : ESCALATION) {
    if (left.length === 0) break
    for (const pid of left) send(pid, signal)
    for (let waited = 0; left.length > 0 && waited < waitMs; waited += 20) {
      await pause(20)
      left = straysOf(cluster)
    }
  }
  const names = ['postmaster.pid', '.s.PGSQL.5432', '.s.PGSQL.5432.lock']
  for (const name of names) rmSync(join(cluster.folder, name), { force: true })
  return strays
}

function straysOf(cluster: Cluster): number[] {
  if (process.platform !== 'linux') return recordedServer(cluster.folder)
  const named = readdirSync('/proc').filter(isServer).map(Number)
  return named.length === 0 ? [] : workingIn(named, cluster)
}

function isServer(entry: string): boolean {
  if (!/^\d+$/.test(entry)) return false
  try {
    return readFileSync(`/proc/${entry}/comm`, 'utf8').startsWith('postgres')
  } catch {
    return false
  }
}

function workingIn(pids: number[], cluster: Cluster): number[] {
  const home = statSync(cluster.folder)
  const hidden: number[] = []
  const found = pids.filter(pid => {
    try {
      const at = statSync(`/proc/${pid}/cwd`)
      return at.ino === home.ino && at.dev === home.dev
    } catch (error) {
      if (['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code!)) hidden.push(pid)
      return false
    }
  })
  return hidden.length === 0 ? found : [...found, ...askAs(hidden, cluster)]
}

/** Root in a container may not look into processes of others; the server's own account may. */
function askAs(pids: number[], { account, folder }: Cluster): number[] {
  const script = 'for pid; do [ /proc/$pid/cwd -ef . ] && echo $pid; done; true'
  const options = { cwd: folder, uid: account.uid, gid: account.gid, encoding: 'utf8' as const }
  const { stdout } = spawnSync('/bin/sh', ['-c', script, 'sh', ...pids.map(String)], options)
  return (stdout ?? '').split('\n').filter(Boolean).map(Number)
}

function recordedPid(folder: string): number | undefined {
  try {
    return Number.parseInt(readFileSync(join(folder, 'postmaster.pid'), 'utf8'), 10) || undefined
  } catch {
    return undefined
  }
}

/** Without /proc: the recorded process, if it is a server. */
function recordedServer(folder: string): number[] {
  const pid = recordedPid(folder)
  if (pid === undefined) return []
  try {
    const name = execFileSync('ps', ['-o', 'comm=', '-p', String(pid)], { encoding: 'utf8' })
    return name.includes('postgres') ? [pid] : []
  } catch {
    return []
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It ended in the meantime.
  }
}
