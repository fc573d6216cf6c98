/** From a fault to one sentence and an exit code: what a script branches on. */
import { GalleyError } from '../error.ts'
import { NotLoggedIn, UsageError } from './command.ts'
import { clean } from './format.ts'

export const EXIT_CODES: Record<string, string> = {
  0: 'done',
  1: 'failed, or refused as it is',
  2: 'the command line is wrong; nothing was done',
  3: 'not logged in, or the key does not work or may not do this',
  4: 'there is no such thing',
  5: 'the state of things does not allow it',
  6: 'over a limit, unreachable or overloaded: the same may succeed later',
  130: 'interrupted',
}

const BY_STATUS: Record<number, number> = {
  401: 3,
  403: 3,
  404: 4,
  409: 5,
  429: 6,
  502: 6,
  503: 6,
  504: 6,
}

export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return 2
  if (error instanceof NotLoggedIn) return 3
  if (!(error instanceof GalleyError)) return 1
  if (error.status !== 0) return BY_STATUS[error.status] ?? 1
  if (error.code === 'network' || error.code === 'timeout') return 6
  return error.code === 'invalid_request' ? 2 : 1
}

export function sentenceOf(error: unknown): string {
  if (error instanceof GalleyError) return clean(galleySentence(error))
  return clean(fileSentence(error) ?? (error instanceof Error ? error.message : String(error)))
}

function galleySentence({ code, detail, errors = [], requestId }: GalleyError): string {
  // Of what is wrong, the detail mostly tells the first already: only its place may be missing there.
  const rest = errors.flatMap(({ pointer, detail: why }) => {
    if (!detail.includes(bare(why))) return [`${pointer}: ${why}`]
    return detail.includes(pointer) ? [] : [`at ${pointer}`]
  })
  const hint = code === 'network' ? HINT : ''
  const more = rest.length > 0 ? ` (${rest.join('; ')})` : ''
  return `${detail}${more}${hint}${requestId ? ` [${requestId}]` : ''}`
}

const HINT = ' Is the URL right, and does it run? "npm start" starts a Galley on this machine.'

const bare = (text: string) => text.replace(/\.$/, '')

const FILE_FAULTS: Record<string, string> = {
  ENOENT: 'there is no such file or folder',
  EACCES: 'you may not read or write it',
  EISDIR: 'it is a folder, not a file',
  ENOSPC: 'the disk is full',
}

function fileSentence(error: unknown): string | null {
  const { code = '', path } = error as NodeJS.ErrnoException
  return path && FILE_FAULTS[code] ? `${path}: ${FILE_FAULTS[code]}.` : null
}
