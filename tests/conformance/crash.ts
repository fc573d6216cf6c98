/**
 * One call on a folder of blobs in a process that dies, or meets a full disk, at its n-th step on the
 * disk. Steps are counted where Node calls the system, so that the store itself knows nothing of this.
 *
 *   node crash.ts <root> <kill|full> <n> <put|complete|delete>
 */
import fsPromises from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'

const [root, how, nth, call] = process.argv.slice(2) as [string, string, string, string]
let step = 0

function countdown(): void {
  if (++step !== Number(nth)) return
  if (how === 'kill') process.kill(process.pid, 'SIGKILL')
  throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
}

type AnyCall = (...args: unknown[]) => Promise<unknown>
function instrument(target: Record<string, AnyCall>, names: string[]): void {
  for (const name of names) {
    const original = target[name]!
    target[name] = async function (this: unknown, ...args) {
      countdown()
      return original.apply(this, args)
    }
  }
}

const handle = await fsPromises.open(join(root, 'opened'), 'w')
const handles = Object.getPrototypeOf(handle)
await handle.close()
// A full disk refuses what needs room; removing and reading go on.
const growing = ['mkdir', 'open', 'rename']
instrument(fsPromises as never, how === 'kill' ? [...growing, 'rm'] : growing)
instrument(handles, ['write', 'sync'])
syncBuiltinESMExports()

const { folderBlobs } = await import('#platform/blob/folder.ts')
const { bytesOf, sha256 } = await import('./bytes.ts')
const blobs = folderBlobs({ root })
const expected = { size: 3_000, sha256: sha256(bytesOf(3_000)) }
try {
  if (call === 'put') await blobs.put('ten/x', bytesOf(3_000))
  if (call === 'complete') await blobs.completeUpload('ten/up', 'ten/x', expected)
  if (call === 'delete') await blobs.delete('ten/x')
  process.stdout.write(Number(nth) > 0 && step >= Number(nth) ? 'passed over' : 'done')
} catch (error) {
  process.stdout.write(String((error as { code?: string }).code))
}
