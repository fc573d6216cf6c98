/**
 * Runs `child.ts` with as little as it can do with: no environment, no network client, Node's
 * permission model, a process group of its own, hard limits from a shell in front of it, and a watch
 * over its time and memory. It dies with its parent, even in the middle of a native call.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { lstatSync, readFileSync, realpathSync } from 'node:fs'
import { findPackageJSON } from 'node:module'
import { dirname, join } from 'node:path'
import type { Readable } from 'node:stream'
import type { ValidationLimits } from './limits.ts'

export type Ending = {
  /** Lines of the child's report, in order. */
  lines: string[]
  stderr: string
  code: number | null
  signal: NodeJS.Signals | null
  /** What we killed it for; null when it ended by itself or by a stranger's hand. */
  killedFor: 'time' | 'memory' | 'abort' | null
}

const WATCH_MS = 25
const REPORT_BYTES_MAX = 2 ** 20
const STDERR_BYTES_MAX = 16 * 1024
const MIB = 2 ** 20
/** What Node and the runtime map before they have read a byte of the model (measured: 590 MiB, of
 * which little is ever touched). */
const BASE_DATA_BYTES = 768 * MIB
/** Node, the runtime and their libraries, before the model (measured: 98 MiB). */
const BASE_RESIDENT_BYTES = 128 * MIB
const HEAP_MIB = 512

/**
 * The limits are set by the shell because Node cannot; the reader in the background ends the group when
 * the parent's end of the pipe closes, which a child inside a native call would not notice.
 */
const SHELL = `
ulimit -c 0; ulimit -f 0; ulimit -S -t "$1"; ulimit -H -t "$2"; ulimit -d "$3" 2>/dev/null
shift 3
exec 4<&0
( while read -r _ <&4; do :; done; kill -9 -$$ ) >/dev/null 2>&1 3>&- &
exec "$@" </dev/null 4<&-
`

export function runChild(
  folder: string,
  limits: ValidationLimits,
  signal?: AbortSignal,
): Promise<Ending> {
  const cpuS = Math.ceil(limits.wallMs / 1000) + 5
  const dataKib = Math.ceil((limits.memoryBytes + BASE_DATA_BYTES) / 1024)
  const shellArgs = ['-c', SHELL, 'validate', `${cpuS}`, `${cpuS + 5}`, `${dataKib}`]
  const child = spawn('/bin/sh', [...shellArgs, process.execPath, ...nodeArgs(folder)], {
    cwd: folder,
    detached: true,
    env: {
      ORT_DISABLE_TELEMETRY: '1',
      MALLOC_ARENA_MAX: '1',
      // As the engine has it: what is measured here is what a runner will take.
      MALLOC_TRIM_THRESHOLD_: '67108864',
      MALLOC_MMAP_THRESHOLD_: '33554432',
    },
    stdio: ['pipe', 'ignore', 'pipe', 'pipe'],
  })
  return watch(child, limits, signal)
}

function watch(
  child: ChildProcess,
  limits: ValidationLimits,
  signal?: AbortSignal,
): Promise<Ending> {
  const { promise, resolve, reject } = Promise.withResolvers<Ending>()
  let killedFor: Ending['killedFor'] = null
  const kill = (why: Ending['killedFor']) => {
    killedFor ??= why
    endGroup(child.pid)
  }
  const report = collect(child.stdio[3] as Readable, REPORT_BYTES_MAX)
  const stderr = collect(child.stderr!, STDERR_BYTES_MAX)
  const timer = setTimeout(() => kill('time'), limits.wallMs)
  const watcher = setInterval(() => {
    if (residentBytes(child.pid) > limits.memoryBytes + BASE_RESIDENT_BYTES) kill('memory')
  }, WATCH_MS)
  const onAbort = () => kill('abort')
  signal?.addEventListener('abort', onAbort, { once: true })
  if (signal?.aborted) kill('abort')
  const stop = () => {
    clearTimeout(timer)
    clearInterval(watcher)
    signal?.removeEventListener('abort', onAbort)
    // Ends the reader in the background, which outlives the child.
    child.stdin!.destroy()
  }
  child.stdin!.on('error', () => {})
  child.on('error', error => {
    stop()
    reject(error)
  })
  child.on('close', (code, exitSignal) => {
    stop()
    const lines = report().split('\n').filter(Boolean)
    resolve({ lines, stderr: stderr(), code, signal: exitSignal, killedFor })
  })
  return promise
}

/** Node's own arguments: read access to the code it runs and to its folder, native add-ons, no more. */
function nodeArgs(folder: string): string[] {
  const root = dirname(dirname(import.meta.dirname))
  const runtime = packageFolder('onnxruntime-node', import.meta.filename)
  const common = packageFolder('onnxruntime-common', join(runtime, 'package.json'))
  const code = ['core', 'schemas', 'gpu-runners/validate', 'gpu-runners/text'].map(
    name => `${join(root, name)}/*`,
  )
  const tokenizers = dirname(packageFolder('@huggingface/tokenizers', import.meta.filename))
  const packages = [runtime, common, tokenizers].map(path => `${realpathSync(path)}/*`)
  const readable = [
    ...code,
    join(root, 'package.json'),
    ...packages,
    ...linkedPackages(root),
    `${realpathSync(folder)}/*`,
  ]
  return [
    '--permission',
    '--allow-addons',
    ...readable.map(path => `--allow-fs-read=${path}`),
    `--max-old-space-size=${HEAP_MIB}`,
    join(import.meta.dirname, 'child.ts'),
  ]
}

/** Where projects share their packages by a link, following it needs leave of its own. */
function linkedPackages(root: string): string[] {
  const path = join(root, 'node_modules')
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ? [path] : []
}

function packageFolder(name: string, from: string): string {
  return dirname(findPackageJSON(name, from)!)
}

function endGroup(pid: number | undefined): void {
  if (!pid) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It has ended meanwhile.
  }
}

/** Where there is no /proc, the hard limit is all there is. */
function residentBytes(pid: number | undefined): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1')
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}

/** Keeps the end of a stream, so that the newest line is there however much came before. */
function collect(stream: Readable, bytesMax: number): () => string {
  let text = ''
  stream.setEncoding('utf8')
  stream.on('data', (chunk: string) => {
    text = (text + chunk).slice(-bytesMax)
  })
  stream.on('error', () => {})
  return () => text
}
