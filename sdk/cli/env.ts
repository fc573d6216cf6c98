/** What the command reads from its environment; nothing else reads it. */
import { homedir } from 'node:os'
import { join } from 'node:path'

export type Environment = {
  url: string | undefined
  key: string | undefined
  profile: string | undefined
  /** Where profiles are kept. */
  configFolder: string
}

const { env } = process

export const environment: Environment = {
  url: env.GALLEY_URL || undefined,
  key: env.GALLEY_KEY || undefined,
  profile: env.GALLEY_PROFILE || undefined,
  configFolder: join(env.XDG_CONFIG_HOME || env.APPDATA || join(homedir(), '.config'), 'galley'),
}
