/**
 * What is installed, by npm's own record: it is written last, so an installation that was killed has
 * none, and it follows whatever else the user does with npm.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Where npm records what it put into node_modules. */
export const RECORD = 'node_modules/.package-lock.json'

/** Whether what package-lock.json asks for is there; `reason` is for the reader of a progress line. */
export function inspect(root, { dev }) {
  const wanted = packagesOf(join(root, 'package-lock.json')) ?? {}
  const found = packagesOf(join(root, RECORD))
  if (!found) return { usable: false, hasDev: false, reason: 'nothing is installed' }
  const hasDev = Object.values(found).some(isDevOnly)
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === '' || (isDevOnly(entry) && !dev)) continue
    if (!found[path] && entry.optional) continue
    const name = path.slice(path.lastIndexOf('node_modules/') + 13)
    const have = found[path]?.version
    if (have !== entry.version)
      return {
        usable: false,
        hasDev,
        reason: `${name} is ${have ?? 'missing'}, not ${entry.version}`,
      }
    if (!existsSync(join(root, path, 'package.json')))
      return { usable: false, hasDev, reason: `${name} is gone` }
  }
  return { usable: true, hasDev, reason: '' }
}

/** How many packages an installation of this kind fetches at most. */
export function countOf(root, { dev }) {
  const entries = Object.values(packagesOf(join(root, 'package-lock.json')) ?? {})
  return entries.filter(entry => !entry.optional && (dev || !isDevOnly(entry))).length
}

function isDevOnly(entry) {
  return entry.dev === true
}

function packagesOf(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8')).packages
  } catch {
    return undefined
  }
}
