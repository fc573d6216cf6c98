/** What the documents promise: commands that exist, decisions with a date, links that lead somewhere. */
import { posix } from 'node:path'
import { eachMatch, type Rule } from './rule.ts'
import type { Source } from './source.ts'

const isDocument = ({ path }: Source) => path.endsWith('.md')

export const scripts: Rule = {
  name: 'every npm command that is mentioned exists',
  faults: sources => {
    const text = sources.find(({ path }) => path === 'package.json')?.text ?? '{}'
    const known = new Set(Object.keys(JSON.parse(text).scripts ?? {}))
    return sources.filter(isDocument).flatMap(source =>
      [...source.text.matchAll(/\bnpm (?:run (?<run>[a-z][\w:-]*)|(?<own>start|test)\b)/g)]
        .map(match => match.groups!.run ?? match.groups!.own!)
        .filter(name => !known.has(name))
        .map(name => ({
          path: source.path,
          line: 1,
          says: `mentions the unknown npm run ${name}`,
        })),
    )
  },
  plants: [[{ path: 'README.md', text: 'Run `npm run shine`.' }]],
}

export const decisions: Rule = {
  name: 'a decision is numbered and dated, and stands in the index',
  faults: sources => {
    const index = sources.find(({ path }) => path === 'docs/decisions/README.md')?.text ?? ''
    const files = sources.filter(
      s => s.path.startsWith('docs/decisions/') && isDocument(s) && !s.path.endsWith('README.md'),
    )
    return files.flatMap(({ path, text }) => {
      const name = posix.basename(path)
      const says = !/^\d{4}-[a-z0-9-]+\.md$/.test(name)
        ? 'is not named NNNN-title.md'
        : !/\b(\d{4}-\d\d-\d\d|\d{1,2} [A-Z][a-z]+ \d{4})\b/.test(
              text.split('\n').slice(0, 6).join('\n'),
            )
          ? 'has no date in its first lines'
          : index.includes(name)
            ? null
            : 'is missing from docs/decisions/README.md'
      return says ? [{ path, line: 1, says }] : []
    })
  },
  plants: [
    [{ path: 'docs/decisions/queue.md', text: '2026-01-01' }],
    [{ path: 'docs/decisions/0009-queue.md', text: '# A queue' }],
    [{ path: 'docs/decisions/0009-queue.md', text: '# A queue\n\n2026-01-01' }],
  ],
}

export const links: Rule = {
  name: 'every link between documents leads to a file',
  faults: sources => {
    const paths = new Set(sources.map(({ path }) => path))
    const isThere = (target: string) =>
      paths.has(target) || [...paths].some(path => path.startsWith(`${target.replace(/\/$/, '')}/`))
    return sources.filter(isDocument).flatMap(source =>
      eachMatch(source, source.text, /\]\((?!https?:|#|mailto:)[^)]+\)/, found => found).filter(
        fault => {
          const target = fault.says.slice(2, -1).split('#')[0]!
          fault.says = `links to ${target}, which is not there`
          return !isThere(posix.join(posix.dirname(source.path), target))
        },
      ),
    )
  },
  plants: [[{ path: 'docs/a.md', text: 'See [b](b.md).' }]],
  spares: [[{ path: 'docs/a.md', text: 'See [a](../docs/a.md#x).' }]],
}

const TABLE = 'docs/testing.md'
const TEST =
  /^tests\/(?:runtime|cloud|conformance|e2e)\/(?:[a-z-]+\/)?(?<name>[a-z0-9-]+)\.test\.ts$/

export const tested: Rule = {
  name: 'the table of features and layers names every test, and no other',
  faults: sources => {
    const rows = sources.find(({ path }) => path === TABLE)?.text.match(/^\|.*\|$/gm) ?? []
    const named = new Set(
      [...rows.join('\n').matchAll(/`(?<name>[a-z][a-z0-9-]*)`/g)].map(
        match => match.groups!.name!,
      ),
    )
    const there = new Map(
      sources.flatMap(({ path }) => {
        const name = TEST.exec(path)?.groups?.name
        return name ? [[name, path] as const] : []
      }),
    )
    const missing = [...there].filter(([name]) => !named.has(name))
    return [
      ...missing.map(([, path]) => ({ path, line: 1, says: `is missing from ${TABLE}` })),
      ...[...named]
        .filter(name => !there.has(name))
        .map(name => ({ path: TABLE, line: 1, says: `names ${name}, which is no test` })),
    ]
  },
  plants: [
    [{ path: 'tests/runtime/new.test.ts', text: '' }],
    [{ path: TABLE, text: '| queues | `gone` |' }],
  ],
  spares: [
    [
      { path: TABLE, text: '| queues | `queue` |' },
      { path: 'tests/conformance/queue.test.ts', text: '' },
    ],
  ],
}

export const fences: Rule = {
  name: 'a command in the README is one that the tour runs',
  faults: sources =>
    sources
      .filter(({ path }) => path === 'README.md')
      .flatMap(source =>
        [...source.text.matchAll(/^ *```(?<language>[^\n]*)\n(?<body>[\s\S]*?)^ *```/gm)]
          .filter(({ groups }) => !['sh', 'json', 'text'].includes(groups!.language!))
          .map(({ groups }) => ({
            path: source.path,
            line: 1,
            says: `has a block in "${groups!.language}": commands are \`sh\`, which the tour runs`,
          })),
      ),
  plants: [[{ path: 'README.md', text: '```bash\nnpm start\n```\n' }]],
}
