/** An image without Docker: a folder with the files that its Dockerfile copies, and a process that sees no others. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { chownSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { contextOf, copyContext, readDockerfile, type Stage } from './dockerfile.ts'

export type Image = { root: string; scratch: string; stage: Stage }

export const USER = 10_001
/** Of this machine: what an image has from its base. */
const BASE = ['usr', 'bin', 'lib', 'lib64', 'etc']

/** Makes the root folder of an image in `folder`. Throws when a step of the Dockerfile fails. */
export function makeImage(context: string, dockerfile: string, folder: string): Image {
  const lines = readFileSync(join(context, '.dockerignore'), 'utf8').split('\n')
  const isKept = contextOf(lines)
  const stages = readDockerfile(join(context, dockerfile))
  const roots = new Map<string, string>()
  for (const [i, stage] of stages.entries()) {
    const root = join(folder, stage.name || 'image')
    mkdirSync(join(root, 'app'), { recursive: true })
    roots.set(stage.name || String(i), root)
    for (const step of stage.steps) {
      if (step.do === 'run') run(root, stage, step.command)
      else if (step.copy.from === null) copyContext(step.copy, { context, root, isKept })
      else {
        const source = join(roots.get(step.copy.from)!, step.copy.sources[0]!)
        // Links: the packages are some hundred MB, and nobody may write to them.
        spawnSync('cp', ['-al', source, join(root, step.copy.to)])
      }
    }
  }
  const root = join(folder, 'image')
  const scratch = join(folder, 'scratch')
  mkdirSync(scratch)
  const stage = stages.at(-1)!
  // As Fargate does: what is no volume of the image is root's.
  if (stage.volumes.includes('/scratch')) chownSync(scratch, USER, USER)
  return { root, scratch, stage }
}

/** A line of RUN, with the image's folders where they are here. */
function run(root: string, stage: Stage, command: string): void {
  const here = command.replaceAll(/(?<=\s)\/(app|scratch)\b/g, `${root}/$1`)
  const cwd = join(root, 'app')
  const { status, stderr } = spawnSync('sh', ['-c', here], { cwd, encoding: 'utf8' })
  if (status !== 0) throw new Error(`${stage.name}: RUN ${command} ended with ${status}: ${stderr}`)
}

/** Whether this user may give a process a root folder of its own. */
export function mayIsolate(): boolean {
  return process.getuid?.() === 0 && spawnSync('unshare', ['-m', 'true']).status === 0
}

export type Container = { child: ChildProcess; output(): string; ended: Promise<number | null> }

/**
 * Starts its entry point as its user in a mount namespace whose root is the image, read-only but for `/scratch`.
 * `command` instead of the entry point; `env` besides the image's.
 */
export function startContainer(
  { root, scratch, stage }: Image,
  o: { env: Record<string, string>; command?: string[] },
): Container {
  const env = { PATH: '/node:/usr/bin:/bin', ...stage.env, ...o.env }
  const pairs = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  const [user, group] = stage.user!.split(':')
  const command = o.command ?? stage.entrypoint
  const into = ['chroot', `--userspec=${user}:${group}`, root, '/usr/bin/env', '-i', '-C']
  const script = mounts(root, scratch)
  const args = ['-m', '--propagation', 'private', 'sh', '-c', `${script}\nexec "$@"`, 'sh']
  const child = spawn('unshare', [...args, ...into, stage.workdir, ...pairs, ...command], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.on('data', chunk => {
      said += chunk
    })
  }
  const ended = new Promise<number | null>(resolve => child.once('close', code => resolve(code)))
  return { child, output: () => said, ended }
}

/** The namespace ends with its process, and its mounts with it. */
function mounts(root: string, scratch: string): string {
  const base = BASE.filter(name => existsSync(`/${name}`))
  const folders = [...base, 'dev', 'proc', 'node', 'scratch'].map(name => join(root, name))
  return [
    'set -e',
    `mkdir -p ${folders.join(' ')}`,
    `mount --bind ${root} ${root}`,
    ...base.flatMap(name => [
      `mount --bind /${name} ${root}/${name}`,
      `mount -o remount,ro,bind ${root}/${name}`,
    ]),
    `mount --bind /dev ${root}/dev`,
    `mount --rbind /proc ${root}/proc`,
    `mount --bind ${dirname(process.execPath)} ${root}/node`,
    `mount --bind ${scratch} ${root}/scratch`,
    `mount -o remount,ro,bind ${root}`,
  ].join('\n')
}
