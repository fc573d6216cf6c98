/** A Dockerfile as far as ours go: stages, what each copies and runs, and how the last one starts. */
import { cpSync, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'

export type Copy = { from: string | null; sources: string[]; to: string }
export type Step = { do: 'copy'; copy: Copy } | { do: 'run'; command: string }
export type Stage = {
  name: string
  /** Of the base image, as it is written, with its build argument filled in. */
  base: string
  steps: Step[]
  workdir: string
  env: Record<string, string>
  user: string | null
  /** Folders whose owner a volume of the task takes. */
  volumes: string[]
  entrypoint: string[]
}

/** Throws on an instruction that is none of those that ours use: then this reader lies about the image. */
export function readDockerfile(path: string): Stage[] {
  const args: Record<string, string> = {}
  const stages: Stage[] = []
  const filled = (text: string) =>
    text.replaceAll(/\$\{(\w+)\}/g, (_, name) => args[name as string] ?? '')
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const [, word = '', rest = ''] = /^(\S+)\s+(.*)$/.exec(line) ?? []
    const stage = stages.at(-1)
    if (word === 'ARG') {
      const [name, value] = rest.split('=')
      args[name!] = value ?? ''
    } else if (word === 'FROM') stages.push(stageOf(filled(rest)))
    else if (!stage) throw new Error(`${path}: ${word} stands before the first FROM`)
    else apply(stage, word, rest, path)
  }
  return stages
}

function stageOf(rest: string): Stage {
  const [base, , name] = rest.split(/\s+/)
  const empty = { steps: [], env: {}, user: null, volumes: [], entrypoint: [] }
  return { name: name ?? '', base: base!, workdir: '/', ...empty }
}

function apply(stage: Stage, word: string, rest: string, path: string): void {
  if (word === 'WORKDIR') stage.workdir = rest
  else if (word === 'RUN') stage.steps.push({ do: 'run', command: rest })
  else if (word === 'USER') stage.user = rest
  else if (word === 'VOLUME') stage.volumes.push(rest)
  else if (word === 'ENTRYPOINT') stage.entrypoint = JSON.parse(rest) as string[]
  else if (word === 'ENV') {
    for (const pair of rest.split(' ')) stage.env[pair.split('=')[0]!] = pair.split('=')[1]!
  } else if (word === 'COPY') {
    const parts = rest.split(/\s+/)
    const from = parts[0]!.startsWith('--from=') ? parts.shift()!.slice(7) : null
    const to = parts.pop()!
    stage.steps.push({ do: 'copy', copy: { from, sources: parts, to: join(stage.workdir, to) } })
  } else throw new Error(`${path}: this check does not know ${word}`)
}

/** Whether `.dockerignore` lets a path of the context into an image. The last line that fits counts. */
export function contextOf(lines: string[]): (path: string) => boolean {
  const rules = lines
    .filter(line => line.trim() !== '' && !line.startsWith('#'))
    .map(line => ({ isKept: line.startsWith('!'), pattern: patternOf(line.replace(/^!/, '')) }))
  return path => {
    let isKept = true
    for (const rule of rules) if (rule.pattern.test(path)) isKept = rule.isKept
    return isKept
  }
}

function patternOf(text: string): RegExp {
  if (text === '**') return /.*/
  const escaped = text.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '[^/]*')
  return new RegExp(`^${escaped}(/.*)?$`)
}

/** Copies what the line names from the context into a folder that stands for the image's root. */
export function copyContext(
  { sources, to }: Copy,
  o: { context: string; root: string; isKept(path: string): boolean },
): void {
  for (const source of sources) {
    const from = join(o.context, source)
    if (!existsSync(from) || !isReached(source, o.isKept)) {
      throw new Error(`COPY ${source}: the context does not have it; see .dockerignore`)
    }
    const target = to.endsWith('/') || sources.length > 1 ? join(to, basename(source)) : to
    mkdirSync(join(o.root, target, '..'), { recursive: true })
    const filter = (path: string) => {
      const inside = path.slice(o.context.length).replace(/^\//, '')
      return statSync(path).isDirectory() ? isReached(inside, o.isKept) : o.isKept(inside)
    }
    cpSync(from, join(o.root, target), { recursive: true, filter })
  }
}

/** A folder that is kept, or above one that is. */
function isReached(path: string, isKept: (path: string) => boolean): boolean {
  return isKept(path) || ['places', 'grpc'].some(name => isKept(`${path}/${name}`))
}
