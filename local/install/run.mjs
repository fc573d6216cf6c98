/** Runs entries under the pinned Node, as if they had been started directly. */
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

/** Compiled code, which spares each process a tenth of a second; it goes when npm installs anew. */
const COMPILE_CACHE = 'node_modules/.cache/galley'

/** Runs one after the other, all of them; returns the first exit code that is not 0. */
export async function runAll(root, node, runs) {
  let worst = 0
  for (const run of runs) {
    const code = await runOne(root, node, run)
    worst ||= code
  }
  return worst
}

function runOne(root, node, run) {
  const args = ['--disable-warning=ExperimentalWarning', join(root, run.entry), ...run.args]
  const child = spawn(node, args, {
    cwd: run.here ? (process.env.INIT_CWD ?? process.cwd()) : root,
    env: { ...environment(root), ...run.env },
    // The last one is a pipe that says nothing; its end tells the child that we are gone.
    stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
  })
  const forward = signal => child.kill(signal)
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']
  for (const signal of signals) process.on(signal, forward)
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', (code, signal) => {
      for (const name of signals) process.off(name, forward)
      resolve(code ?? 128 + constants.signals[signal])
    })
  })
}

/** Through the environment, so that it reaches the workers of tests and whatever a command starts. */
function environment(root) {
  const preload = `--import=${pathToFileURL(join(root, 'local/quick-imports.mjs')).href}`
  const { NODE_OPTIONS, NODE_COMPILE_CACHE = join(root, COMPILE_CACHE) } = process.env
  const options = NODE_OPTIONS ? `${NODE_OPTIONS} ${preload}` : preload
  return { ...process.env, NODE_COMPILE_CACHE, NODE_OPTIONS: options }
}
