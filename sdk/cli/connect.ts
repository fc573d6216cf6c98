/**
 * Which Galley, with which key: flags, else the environment, else a profile, else the one that runs on
 * this machine from this folder. A stored key never goes to another URL than the one it is stored for.
 */
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { NotLoggedIn, UsageError } from './command.ts'
import type { Environment } from './env.ts'
import { readProfiles } from './profiles.ts'

export type Target = { url: string; key: string; from: string }
export type Connector = { url?: string; key?: string; profile?: string }

export async function findTarget(
  flags: Connector,
  environment: Environment,
  cwd: string,
): Promise<Target> {
  // A profile that is asked for by name goes before the environment, but not before other flags.
  const near = flags.profile === undefined ? environment : { url: undefined, key: undefined }
  const url = flags.url ?? near.url
  const key = flags.key ?? near.key
  const given = flags.url ?? flags.key
  const from = given === undefined ? 'the environment' : 'the command line'
  if (url && key) return { url, key, from }
  const stored = await storedTarget(flags.profile ?? environment.profile, environment, cwd)
  if (!url && !key) {
    if (stored) return stored
    throw new NotLoggedIn(
      'You are not logged in: run "galley login", or "npm start" for a Galley on this machine.',
    )
  }
  if (!url) {
    if (stored) return { url: stored.url, key: key!, from }
    throw new NotLoggedIn('There is a key and no URL: add --url, or set GALLEY_URL.')
  }
  if (stored && sameUrl(stored.url, url)) return { ...stored, from }
  throw new NotLoggedIn(`There is no key for ${url}: add --key, set GALLEY_KEY, or "galley login".`)
}

async function storedTarget(
  name: string | undefined,
  environment: Environment,
  cwd: string,
): Promise<Target | null> {
  const profiles = await readProfiles(environment.configFolder)
  const profile = profiles[name ?? 'default']
  if (profile) return { ...profile, from: `the profile "${name ?? 'default'}"` }
  if (name === undefined) return localTarget(cwd)
  const known = Object.keys(profiles).join(', ') || 'none'
  throw new UsageError(`There is no profile "${name}"; known: ${known}. Make it by "galley login".`)
}

/** What `npm start` wrote, in this folder or above. Only loopback: a folder may be someone else's. */
export async function localTarget(cwd: string): Promise<Target | null> {
  for (let folder = cwd; ; folder = dirname(folder)) {
    const path = join(folder, '.galley', 'local.json')
    const text = await readFile(path, 'utf8').catch(() => null)
    if (text !== null) return parsed(text, path)
    if (dirname(folder) === folder) return null
  }
}

function parsed(text: string, path: string): Target | null {
  try {
    const { url, key } = JSON.parse(text) as Partial<Target>
    if (typeof key !== 'string' || typeof url !== 'string' || !isLoopback(url)) return null
    return { url, key, from: path }
  } catch {
    return null
  }
}

function isLoopback(url: string): boolean {
  const host = URL.canParse(url) ? new URL(url).hostname : ''
  return host === 'localhost' || host === '[::1]' || /^127(\.\d+){3}$/.test(host)
}

function sameUrl(a: string, b: string): boolean {
  return URL.canParse(a) && URL.canParse(b) && new URL(a).href === new URL(b).href
}
