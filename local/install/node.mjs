/**
 * The pinned Node. npm fetches it by a script of the package `node`; where scripts are off, nothing
 * fails and nothing is there, so the version is asked for.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Refusal } from './refusal.mjs'

/** The version that package.json pins. */
export function pinnedVersion(root) {
  return JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).dependencies.node
}

/** The path of the pinned Node, or undefined. */
export function findNode(root) {
  const platform = `node-${process.platform}-${process.arch}/bin/node`
  const candidates = [
    join(root, 'node_modules/node/bin/node'),
    join(root, 'node_modules/node/node_modules', platform),
    join(root, 'node_modules', platform),
    process.execPath,
  ]
  const version = `v${pinnedVersion(root)}`
  return candidates.find(path => {
    const { stdout } = spawnSync(path, ['--version'], { encoding: 'utf8' })
    return stdout?.trim() === version
  })
}

/** The path of the pinned Node; throws a Refusal that says how to get it. */
export function pinnedNode(root) {
  const node = findNode(root)
  if (node) return node
  throw new Refusal(
    `The pinned Node ${pinnedVersion(root)} is not in node_modules and could not be fetched, perhaps because npm runs with ignore-scripts: run "npm ci --ignore-scripts=false", or start with that very version.`,
  )
}
