/** What no line may say, and no file may be called. */
import { eachMatch, type Fault, type Rule } from './rule.ts'
import { codeOf, folderOf, isCode, type Source } from './source.ts'

/** Tidy's own files hold the faults that it plants. */
const isPlanted = ({ path }: Source) => path.startsWith('tests/tidy')

/** Tests and benchmarks start processes of their own, and plant what those must not see. */
const isBesides = (path: string) => ['tests', 'bench'].includes(folderOf(path))

const inCode = (
  sources: Source[],
  pattern: RegExp,
  says: (found: string) => string,
  where: (path: string) => boolean = () => true,
): Fault[] =>
  sources
    .filter(source => isCode(source) && !isPlanted(source) && where(source.path))
    .flatMap(source => eachMatch(source, codeOf(source), pattern, says))

export const environment: Rule = {
  name: 'the environment is read in env.ts alone',
  faults: sources =>
    inCode(
      sources,
      /\bprocess\s*\??\.\s*env\b|\bprocess\[|\benv\b[^=]*\}\s*=\s*process\b|\{[^}]*\benv\b[^}]*\}\s*from\s*'node:process'/,
      found => `reads the environment (${found}); only env.ts does, and passes it on parsed`,
      path => !path.endsWith('/env.ts') && !isBesides(path),
    ),
  exceptions: {
    'local/install/npm.mjs': 'the launcher runs before there is anything to parse with',
    'local/install/run.mjs': 'the launcher hands its environment on',
  },
  plants: [
    [{ path: 'functions/a.ts', text: 'const port = process.env.PORT' }],
    [{ path: 'functions/a.ts', text: 'const { env } = process' }],
    [{ path: 'functions/a.ts', text: "import { env } from 'node:process'" }],
  ],
  spares: [[{ path: 'functions/env.ts', text: 'const port = process.env.PORT' }]],
}

export const zodImport: Rule = {
  name: 'zod is imported whole, which bundles five times smaller',
  faults: sources =>
    inCode(
      sources,
      /^\s*import\s+(type\s+)?(\{|z\b|\w+\s*,).*from\s+['"]zod['"]/,
      () => "imports names of zod; write `import * as z from 'zod'`",
    ),
  plants: [[{ path: 'schemas/a.ts', text: "import { z } from 'zod'" }]],
  spares: [[{ path: 'schemas/a.ts', text: "import * as z from 'zod'" }]],
}

export const consoleCalls: Rule = {
  name: 'nothing prints past the log',
  faults: sources =>
    inCode(sources, /\bconsole\s*\.\s*\w+/, found => `calls ${found}; take a log from the deps`),
  exceptions: { 'platform/console-log.ts': 'on Workers the console is the log' },
  plants: [[{ path: 'core/a.ts', text: "console.log('here')" }]],
}

const BANNED = /(^|[/-])(utils?|helpers?|commons?|managers?|services?|misc|types)(\/|\.|$)/

export const names: Rule = {
  name: 'a file is named after what is in it',
  faults: sources =>
    sources
      .filter(source => isCode(source) && BANNED.test(source.path))
      .map(({ path }) => ({ path, line: 1, says: 'has a name that says nothing' })),
  plants: [
    [{ path: 'core/utils.ts', text: '' }],
    [{ path: 'platform/common/a.ts', text: '' }],
    [{ path: 'edge/key-manager.ts', text: '' }],
    [{ path: 'schemas/types.ts', text: '' }],
  ],
  spares: [[{ path: 'gpu-runners/batcher/service-time.ts', text: '' }]],
}

export const machinePaths: Rule = {
  name: 'nothing points outside the project',
  faults: sources =>
    sources
      .filter(source => !isPlanted(source))
      .flatMap(source =>
        eachMatch(
          source,
          source.text,
          /(?<![\w.)}>$-])\/(work|home|Users|root)\/[\w.]|\bfile:\/\/\/\w|[A-Z]:\\\\|\.\.\/shared\b|\bDESIGN(\.md| §)|\bSTYLE\.md|\breference\/(platform|serving|gateway|data)\.md/,
          found => `names a place on one machine: ${found}`,
        ),
      ),
  exceptions: {
    'tests/runtime/local-flags.test.ts': 'resolves paths for somebody made up',
    'tests/runtime/onnx-inspect.test.ts': 'refuses paths of every system',
  },
  plants: [
    [{ path: 'docs/a.md', text: 'see /home/me/notes' }],
    [{ path: 'core/a.ts', text: '// as DESIGN §3 says' }],
    [{ path: 'core/a.ts', text: `const path = '${['..', 'shared', 'a.md'].join('/')}'` }],
  ],
  spares: [[{ path: 'docs/a.md', text: 'https://example.org/home/page' }]],
}

export const headers: Rule = {
  name: 'a source file begins by saying what it is for',
  faults: sources =>
    sources
      .filter(({ path }) => isCode({ path, text: '' }) && HEADED.includes(folderOf(path)))
      .filter(({ text }) => !/^(#!.*\n)?\s*(\/\*\*|\/\/)/.test(text))
      .map(({ path }) => ({ path, line: 1, says: 'has no header: one sentence on what and why' })),
  plants: [[{ path: 'core/a.ts', text: 'export const a = 1' }]],
}

const HEADED = [
  'schemas',
  'core',
  'platform',
  'edge',
  'functions',
  'gpu-runners',
  'local',
  'sdk',
  'stacks',
]
