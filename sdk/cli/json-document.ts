/** JSON that a command takes: from the command line, from a file, or from stdin. */
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { type Context, UsageError } from './command.ts'

type Where = Pick<Context, 'terminal' | 'cwd'>

/** The object in a file, or on stdin for `-`. */
export async function documentIn({ terminal, cwd }: Where, path: string) {
  const text = path === '-' ? await terminal.input() : await readFile(resolve(cwd, path), 'utf8')
  return objectOf(text, path === '-' ? 'stdin' : path)
}

/** The object that is given as it is, or as `@file`, or as `-` for stdin. */
export async function documentGiven(where: Where, text: string, what: string) {
  if (text === '-') return documentIn(where, text)
  return text.startsWith('@') ? documentIn(where, text.slice(1)) : objectOf(text, what)
}

function objectOf(text: string, where: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new UsageError(`${where} is not JSON: ${(error as Error).message}`)
  }
  if (value !== null && typeof value === 'object' && !Array.isArray(value)) {
    return value as Record<string, unknown>
  }
  throw new UsageError(`${where} must hold a JSON object, such as {"name": …}.`)
}
