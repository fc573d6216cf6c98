/** A Python with Feast in it. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pythonWith } from '../python.ts'

const REQUIREMENTS = fileURLToPath(new URL('./requirements.txt', import.meta.url))

/** Feast reports its use to its makers unless it is told not to. */
export const FEAST_ENV = { FEAST_USAGE: 'False', PYTHONWARNINGS: 'ignore', PYTHONUNBUFFERED: '1' }

export type Python = { bin: string; python: string; feast: string } | { reason: string }

/** The interpreter and the command `feast` of the virtual environment. */
export async function pythonWithFeast(say: (line: string) => void): Promise<Python> {
  const found = await pythonWith('feast', REQUIREMENTS, say)
  if ('reason' in found) return { reason: `Feast: ${found.reason}` }
  const { bin } = found
  return { bin, python: join(bin, 'python'), feast: join(bin, 'feast') }
}
