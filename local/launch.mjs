/**
 * Every command of the project starts here, under whatever Node the machine has: it installs what is
 * missing, then runs the command under the pinned Node. Plain JavaScript, because it runs first.
 */
import { fileURLToPath } from 'node:url'

const NODE_MAJOR_MIN = 20
const [command = '', ...args] = process.argv.slice(2)

if (Number.parseInt(process.versions.node, 10) < NODE_MAJOR_MIN) {
  process.stderr.write(
    `Galley needs Node ${NODE_MAJOR_MIN} or newer to install itself, and this is ${process.version}: install a newer one from https://nodejs.org.\n`,
  )
  process.exit(1)
}

if (process.platform === 'win32') {
  process.stderr.write('Galley runs on Linux and macOS: on Windows, start it inside WSL.\n')
  process.exit(1)
}

const root = fileURLToPath(new URL('..', import.meta.url))
const { runsOf } = await import('./install/commands.mjs')
const { Refusal } = await import('./install/refusal.mjs')
try {
  const runs = runsOf(command, args)
  const { ensureInstalled } = await import('./install/install.mjs')
  const { pinnedNode } = await import('./install/node.mjs')
  const { runAll } = await import('./install/run.mjs')
  await ensureInstalled(root, { dev: runs.some(run => run.dev) })
  process.exitCode = await runAll(root, pinnedNode(root), runs)
} catch (error) {
  if (!(error instanceof Refusal)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
}
