/**
 * Makes node_modules right when it is missing or stale. `npm start` gets by without development
 * dependencies, and never takes away those that are there.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { alone } from './alone.mjs'
import { countOf, inspect, RECORD } from './installed.mjs'
import { findNode, pinnedVersion } from './node.mjs'
import { fetchNode, npmCi } from './npm.mjs'
import { progress } from './progress.mjs'
import { Refusal } from './refusal.mjs'

/** Returns when everything needed is there. Throws a Refusal that says what to do. */
export async function ensureInstalled(root, { dev }) {
  if (inspect(root, { dev }).usable && findNode(root)) return
  await alone(root, async () => {
    // Another command may have done it while we waited.
    const state = inspect(root, { dev })
    if (!state.usable) await install(root, { dev: dev || state.hasDev }, state.reason)
    if (!findNode(root)) await repairNode(root)
  })
}

async function install(root, { dev }, reason) {
  // npm removes the old packages side by side: without its record none can look whole.
  rmSync(join(root, RECORD), { force: true })
  const total = countOf(root, { dev })
  const kind = dev ? 'with development dependencies' : 'without development dependencies'
  const line = progress(`Installing ${total} packages ${kind} (${reason})`)
  const { status, said } = await npmCi(root, { dev }, done => line.update(done, total))
  if (status === 0 && inspect(root, { dev }).usable) return line.end('Installed')
  line.end('Not installed')
  throw new Refusal(
    `${said.map(text => `  ${text}`).join('\n')}\nnpm ci ended with ${status}: see above, check the network and "npm config get registry", then run the same command again.`,
  )
}

async function repairNode(root) {
  const line = progress(`Fetching Node ${pinnedVersion(root)}`)
  await fetchNode(root)
  line.end(findNode(root) ? 'Fetched' : 'Not fetched')
}
