/**
 * The account that the server runs under. PostgreSQL refuses root, and its set-up refuses a number
 * that /etc/passwd does not name; both are usual in containers.
 */
import { spawnSync } from 'node:child_process'
import { chownSync, lchownSync, lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { AppError } from '#core/error.ts'

/** `uid` and `gid` are set when we are root; `wrap` is a command that goes before the server's. */
export type Account = { uid?: number; gid?: number; wrap: string[] }

const NOBODY = 65534

/** The account for a cluster in this folder, which the account owns when this returns. */
export function accountFor(folder: string): Account {
  const ours = process.getuid?.()
  if (ours === undefined) return { wrap: [] }
  if (ours !== 0) return isNamed(ours) ? { wrap: [] } : inNamespace()
  const owner = lstatSync(folder)
  const account =
    owner.uid === 0
      ? { uid: NOBODY, gid: NOBODY, wrap: [] }
      : { uid: owner.uid, gid: owner.gid, wrap: [] }
  if (!mayBecome(account)) return inNamespace()
  if (owner.uid === 0) giveAway(folder, account)
  return account
}

/** Contents first: a folder that is ours no more was given away whole, whenever we died. */
function giveAway(folder: string, { uid, gid }: { uid: number; gid: number }): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) giveAway(path, { uid, gid })
    else lchownSync(path, uid, gid)
  }
  chownSync(folder, uid, gid)
}

/** Root inside a container may lack the right to change its number. */
function mayBecome({ uid, gid }: { uid: number; gid: number }): boolean {
  return spawnSync('/bin/sh', ['-c', 'exit 0'], { cwd: '/', uid, gid }).status === 0
}

/** A user namespace in which our number reads as that of nobody, who is named everywhere. */
function inNamespace(): Account {
  const wrap = ['unshare', '--user', `--map-user=${NOBODY}`, `--map-group=${NOBODY}`, '--']
  if (spawnSync(wrap[0]!, [...wrap.slice(1), 'true']).status === 0) return { wrap }
  if (process.getuid!() !== 0) return { wrap: [] }
  throw new AppError('unavailable', {
    public:
      'PostgreSQL does not run as root, and this container lets root become no other account: start Galley as an ordinary user, or name a server with --database-url.',
  })
}

function isNamed(uid: number): boolean {
  if (process.platform !== 'linux') return true
  try {
    return readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .some(line => line.split(':')[2] === String(uid))
  } catch {
    return false
  }
}
