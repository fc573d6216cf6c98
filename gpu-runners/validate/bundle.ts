/**
 * A private folder with the files of one model and nothing else, readable by a child without rights.
 * The folder carries the number of its process, so that those of killed ones can be found and removed.
 */
import { constants } from 'node:fs'
import {
  chmod,
  copyFile,
  link,
  mkdir,
  mkdtemp,
  readdir,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, posix } from 'node:path'
import { quote } from '#core/models/onnx/inspection/quote.ts'
import { invalid } from '#core/models/onnx/wire.ts'
import type { EmbeddingManifest } from '#schemas/tables/models.ts'

export type ModelFile = { path: string; localPath: string; sha256: string; size: number }

const PREFIX = 'galley-validate-'
const READABLE_BY_ALL = 0o444
const MODEL_FOLDER = 'model'
const PATH_LENGTH_MAX = 512

export type Bundle = { folder: string; graph: string; remove(): Promise<void> }

/** Lays the files out under their manifest paths. `graph` is the graph's path within the folder. */
export async function layOut(files: ModelFile[], graph: string): Promise<Bundle> {
  checkPaths(files, graph)
  const folder = await mkdtemp(join(tmpdir(), `${PREFIX}${process.pid}-`))
  const remove = () => rm(folder, { recursive: true, force: true })
  try {
    await chmod(folder, 0o755)
    for (const file of files) await place(file, join(folder, MODEL_FOLDER, file.path))
  } catch (error) {
    await remove()
    throw error
  }
  return { folder, graph: posix.join(MODEL_FOLDER, graph), remove }
}

/** The manifest's part on texts, with the tokeniser where the child finds it. */
export function inBundle(embedding: EmbeddingManifest): EmbeddingManifest {
  return { ...embedding, tokenizer: posix.join(MODEL_FOLDER, embedding.tokenizer) }
}

export async function writeTask(bundle: Bundle, task: unknown): Promise<void> {
  await writeFile(join(bundle.folder, 'task.json'), JSON.stringify(task), { mode: 0o644 })
}

/** Removes folders of validators that were killed. */
export async function removeAbandoned(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const pid = name.startsWith(PREFIX) && Number.parseInt(name.slice(PREFIX.length), 10)
    if (pid && !isAlive(pid)) await rm(join(tmpdir(), name), { recursive: true, force: true })
  }
}

/** The other files by their path from the graph's folder, which is how external data names them. */
export function besideGraph(files: ModelFile[], graph: string): { path: string; size: number }[] {
  const folder = posix.dirname(graph) === '.' ? '' : `${posix.dirname(graph)}/`
  return files
    .filter(file => file.path !== graph && file.path.startsWith(folder))
    .map(file => ({ path: file.path.slice(folder.length), size: file.size }))
}

function checkPaths(files: ModelFile[], graph: string): void {
  const paths = new Set<string>()
  for (const { path } of files) {
    const parts = path.split('/')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: a path with control characters is an attack.
    if (parts.some(part => !part || part === '.' || part === '..' || /[\\\x00-\x1f]/.test(part))) {
      throw invalid(
        `The file path ${quote(path)} is not one that a manifest may have: use plain names separated by '/'.`,
      )
    }
    if (path.length > PATH_LENGTH_MAX)
      throw invalid(`The file path ${quote(path)} is longer than ${PATH_LENGTH_MAX} characters.`)
    if (paths.has(path)) throw invalid(`The manifest names the file ${quote(path)} twice.`)
    paths.add(path)
  }
  for (const path of paths) {
    for (let at = path.indexOf('/'); at > 0; at = path.indexOf('/', at + 1)) {
      if (paths.has(path.slice(0, at)))
        throw invalid(`The manifest names ${quote(path.slice(0, at))} as a file and as a folder.`)
    }
  }
  if (!paths.has(graph))
    throw invalid(`The graph ${quote(graph)} is not among the files of the manifest.`)
}

/**
 * A hard link where the child may read through it, a copy otherwise: links keep the mode of the
 * original, which is not ours to change. Symbolic links are refused by the runtime for external data.
 */
async function place(file: ModelFile, target: string): Promise<void> {
  await mkdir(dirname(target), { recursive: true, mode: 0o755 })
  const { mode } = await stat(file.localPath)
  if (process.getuid?.() !== 0 || (mode & READABLE_BY_ALL) === READABLE_BY_ALL) {
    const linked = await link(file.localPath, target).then(
      () => true,
      () => false,
    )
    if (linked) return
  }
  await copyFile(file.localPath, target, constants.COPYFILE_FICLONE)
  await chmod(target, READABLE_BY_ALL)
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
