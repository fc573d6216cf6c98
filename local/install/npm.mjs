/** npm as a child that ends with us, its output kept for when it fails. */
import { spawn } from 'node:child_process'
import { basename, join } from 'node:path'

const LINES_MAX = 12
const ERROR = /^npm (error|ERR!) ./

/**
 * A pipe that only we hold ends the whole group when we are killed: an npm that went on alone would
 * fight with the next one over node_modules.
 */
const GUARD = `exec 3<&0
( cat <&3 >/dev/null; kill -KILL -$$ ) >/dev/null 2>&1 &
exec "$@" </dev/null 3<&-`

/** Runs `npm ci`; calls back with the number of packages fetched so far. */
export function npmCi(root, { dev }, onFetched) {
  const omit = dev ? '--include=dev' : '--omit=dev'
  const flags = [
    '--include=optional',
    '--no-audit',
    '--no-fund',
    '--no-progress',
    '--loglevel=http',
  ]
  let fetched = 0
  return guarded(root, [...npm(), 'ci', omit, ...flags], line => {
    if (/^npm http (fetch GET 200|cache) .*\.tgz/.test(line)) onFetched(++fetched)
  })
}

/** Runs the script of the package `node` that npm left out. */
export function fetchNode(root) {
  const folder = join(root, 'node_modules/node')
  return guarded(folder, [process.execPath, 'installArchSpecificPackage.js'], () => {})
}

/** The npm that called us, or the one of the path. */
function npm() {
  const path = process.env.npm_execpath ?? ''
  return basename(path).startsWith('npm') ? [process.execPath, path] : ['npm']
}

function guarded(cwd, command, onLine) {
  // Large files that only a machine with an accelerator uses.
  const env = {
    ...process.env,
    ONNXRUNTIME_NODE_INSTALL: 'skip',
    ADBLOCK: '1',
    SST_TELEMETRY_DISABLED: '1',
  }
  const options = { cwd, env, detached: true, stdio: ['pipe', 'pipe', 'pipe'] }
  const child = spawn('/bin/sh', ['-c', GUARD, 'sh', ...command], options)
  const tail = []
  const errors = []
  const hear = line => {
    onLine(line)
    if (/^npm (http|warn)/i.test(line) || line.trim() === '') return
    // npm says what is wrong first and its usage last.
    if (ERROR.test(line)) errors.push(line)
    tail.push(line)
    if (tail.length > LINES_MAX) tail.shift()
  }
  for (const stream of [child.stdout, child.stderr]) eachLine(stream, hear)
  const stopped = signal => {
    child.stdin.destroy()
    process.exit(signal === 'SIGINT' ? 130 : 143)
  }
  process.on('SIGINT', stopped).on('SIGTERM', stopped)
  child.on('exit', () => child.stdin.destroy())
  return new Promise(resolve => {
    const end = status => {
      process.off('SIGINT', stopped).off('SIGTERM', stopped)
      const said = errors.length > 0 ? errors.slice(0, LINES_MAX) : tail
      resolve({ status, said })
    }
    child.on('error', error => {
      tail.push(String(error))
      end(1)
    })
    child.on('close', (code, signal) => end(code ?? signal))
  })
}

function eachLine(stream, hear) {
  let rest = ''
  stream.setEncoding('utf8')
  stream.on('data', text => {
    const lines = (rest + text).split('\n')
    rest = lines.pop()
    lines.forEach(hear)
  })
}
