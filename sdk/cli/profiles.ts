/** Profiles: URLs and keys in the user's configuration folder, readable by the user alone. */
import { randomUUID } from 'node:crypto'
import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'

export type Profile = { url: string; key: string }
type Profiles = Record<string, Profile>

const FILE = 'profiles.json'

export async function readProfiles(folder: string): Promise<Profiles> {
  const path = join(folder, FILE)
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '{}'
    throw error
  })
  try {
    return JSON.parse(text) as Profiles
  } catch {
    throw new Error(`${path} is damaged: delete it and log in again.`)
  }
}

/** Returns where it is stored. */
export async function storeProfile(
  folder: string,
  name: string,
  profile: Profile,
): Promise<string> {
  const profiles = { ...(await readProfiles(folder)), [name]: profile }
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const path = join(folder, FILE)
  const next = `${path}.${randomUUID().slice(0, 8)}`
  const file = await open(next, 'wx', 0o600)
  try {
    await file.writeFile(`${JSON.stringify(profiles, null, 2)}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(next, path)
  return path
}
