/** The files of this project as tidy reads them: text, code without comments, and imports. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'

export type Source = { path: string; text: string }
export type Import = {
  /** As written. */
  specifier: string
  /** Path from the root where it is a file of ours; otherwise the specifier. */
  target: string
  /** Gone at run time. `import { type A }` is not: only `import type` is erased whole. */
  isType: boolean
  line: number
}

const SKIPPED = new Set(['node_modules', '.git', '.galley', '.wrangler', 'dist', 'coverage'])
const TEXT = /\.(ts|mjs|md|json|toml|sql|svg)$|^(LICENSE|NOTICE|run|\.npmrc|\.gitignore)$/
/** Files whose text nobody wrote: locks, generated and recorded ones, and data. */
const UNWRITTEN = /package-lock\.json$|^schemas\/migrations\/meta\//

/** Every written file under the root, by path. */
export function readSources(root: string): Source[] {
  const paths: string[] = []
  const walk = (folder: string) => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = posix.join(folder, entry.name)
      if (entry.isDirectory()) !SKIPPED.has(entry.name) && walk(path)
      else if (entry.isFile() && TEXT.test(entry.name) && !UNWRITTEN.test(path)) paths.push(path)
    }
  }
  walk('')
  return paths.sort().map(path => ({ path, text: readFileSync(join(root, path), 'utf8') }))
}

export const isCode = ({ path }: Source) => /\.(ts|mjs)$/.test(path)
export const folderOf = (path: string) => (path.includes('/') ? path.split('/')[0]! : '')

/** The code with its comments blanked; lines keep their numbers. */
export function codeOf({ text }: Source): string {
  return text
    .split('\n')
    .map(line => (/^\s*(\/\/|\/\*|\*)/.test(line) ? '' : line.replace(/\s\/\/ .*$/, '')))
    .join('\n')
}

const STATEMENT =
  /^[ \t]*(?:import|export)[ \t]+(?<type>type[ \t]+)?[\w$*{},\s]*?from\s*['"](?<from>[^'"]+)['"]/gm
const BARE = /^[ \t]*import\s*['"](?<from>[^'"]+)['"]/gm
const CALL = /\bimport\(\s*['"](?<from>[^'"]+)['"]/g

export function importsOf(source: Source): Import[] {
  const code = codeOf(source)
  return [STATEMENT, BARE, CALL]
    .flatMap(pattern => [...code.matchAll(pattern)])
    .map(match => {
      const specifier = match.groups!.from!
      return {
        specifier,
        target: targetOf(source.path, specifier),
        isType: match.groups!.type !== undefined,
        line: lineOf(code, match.index),
      }
    })
}

function targetOf(from: string, specifier: string): string {
  if (specifier.startsWith('#')) return specifier.slice(1)
  if (specifier.startsWith('.')) return posix.join(posix.dirname(from), specifier)
  return specifier
}

/** Whether an import's target is a file of this project. */
export function isOurs({ specifier }: Import): boolean {
  return specifier.startsWith('#') || specifier.startsWith('.')
}

export function lineOf(text: string, index: number): number {
  return text.slice(0, index).split('\n').length
}
