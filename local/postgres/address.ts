/** Where the embedded server is reached: a socket in its own folder, never a port. */
import { join } from 'node:path'
import { AppError } from '#core/error.ts'

export const SUPERUSER = 'galley'
export const DATABASE = 'galley'
export const PORT = 5432

/** A socket's path has room for this many bytes, its end included. */
const PATH_BYTES_MAX = process.platform === 'linux' ? 107 : 103
const NAME = `/.s.PGSQL.${PORT}`

/**
 * The absolute path where it fits into a socket address, because any process can use it; otherwise
 * through the working directory, which for every place is the data folder.
 */
export function socketFolder(dataFolder: string): string {
  const direct = join(dataFolder, 'postgres')
  if (Buffer.byteLength(direct + NAME) <= PATH_BYTES_MAX) return direct
  if (process.platform === 'linux') return '/proc/self/cwd/postgres'
  const most = PATH_BYTES_MAX - Buffer.byteLength(`/postgres${NAME}`)
  throw new AppError('invalid_request', {
    public: `The path of the data folder is too long for a socket on this system (at most ${most} bytes): choose a shorter one with --data.`,
  })
}
