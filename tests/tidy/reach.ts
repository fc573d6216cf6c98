/** What an entry reaches at run time, through all that it imports: what ends up in its process. */
import type { Fault, Rule } from './rule.ts'
import { type Import, importsOf, isCode, isOurs } from './source.ts'

/** `never` sees packages by name and our own files as `./path`. */
type Reach = { from: RegExp; never: RegExp; why: string }

const REACHES: Reach[] = [
  {
    from: /^edge\//,
    never: /^(node:|pg$|drizzle-orm|onnxruntime-node|@aws-sdk\/)/,
    why: 'the edge runs in workerd, and is bundled',
  },
  {
    from: /^gpu-runners\//,
    never: /^(pg$|drizzle-orm\/|\.\/platform\/db\/)/,
    why: 'a runner holds no database',
  },
  { from: /^sdk\/client\.ts$/, never: /^[^.]/, why: 'the client runs anywhere' },
  { from: /^local\/launch\.mjs$/, never: /^(?!node:|\.)/, why: 'nothing is installed yet' },
  {
    from: /^(edge|functions|gpu-runners)\//,
    never: /^(vitest|miniflare|wrangler|sst)/,
    why: 'it is tooling',
  },
]

export const reach: Rule = {
  name: 'no process loads what its place must not have',
  faults: sources => {
    const graph = new Map(sources.filter(isCode).map(s => [s.path, importsOf(s)]))
    return REACHES.flatMap(each => faultsOf(each, graph))
  },
  plants: [
    [
      { path: 'edge/a.ts', text: "import { b } from '#platform/b.ts'" },
      { path: 'platform/b.ts', text: "import { c } from './c.ts'" },
      { path: 'platform/c.ts', text: "import fs from 'node:fs'" },
    ],
    [
      { path: 'gpu-runners/a.ts', text: "const b = await import('#platform/db/postgres.ts')" },
      { path: 'platform/db/postgres.ts', text: "import pg from 'pg'" },
    ],
    [{ path: 'local/launch.mjs', text: "import * as z from 'zod'" }],
  ],
  spares: [
    [
      { path: 'edge/a.ts', text: "import type { B } from '#platform/b.ts'" },
      { path: 'platform/b.ts', text: "import fs from 'node:fs'" },
    ],
  ],
}

function faultsOf({ from, never, why }: Reach, graph: Map<string, Import[]>): Fault[] {
  const seen = new Map<string, Fault>()
  const visited = new Set<string>()
  const visit = (path: string, trail: string[]) => {
    if (visited.has(path)) return
    visited.add(path)
    for (const import_ of graph.get(path) ?? []) {
      if (import_.isType) continue
      if (never.test(isOurs(import_) ? `./${import_.target}` : import_.specifier)) {
        const way = [...trail, path, import_.specifier].join(' → ')
        seen.set(`${path} ${import_.specifier}`, {
          path,
          line: import_.line,
          says: `${way}: ${why}`,
        })
      }
      if (isOurs(import_)) visit(import_.target, [...trail, path])
    }
  }
  for (const path of graph.keys()) if (from.test(path)) visit(path, [])
  return [...seen.values()]
}
