/** Which way imports go: schemas ← core ← platform ← { edge | functions | gpu-runners } ← local. */
import type { Fault, Rule } from './rule.ts'
import { folderOf, type Import, importsOf, isCode, isOurs, type Source } from './source.ts'

const BASE = ['schemas', 'core', 'platform']

/** What each folder may import besides itself. Runtimes meet over a wire, never in an import. */
const MAY_IMPORT: Record<string, string[]> = {
  schemas: [],
  core: ['schemas'],
  platform: ['schemas', 'core'],
  edge: BASE,
  functions: BASE,
  'gpu-runners': BASE,
  // The first run publishes and asks as any client would.
  local: [...BASE, 'edge', 'functions', 'gpu-runners', 'sdk'],
  stacks: ['schemas'],
  // sst.config.ts, which sst looks for there.
  '': ['stacks'],
  '.ci': [],
  // What is published, or shown as an example, knows HTTP and the generated contract.
  sdk: [],
  console: ['sdk'],
  examples: ['sdk'],
  bench: [...BASE, 'edge', 'functions', 'gpu-runners', 'local', 'sdk', 'tests', 'examples'],
  tests: [...BASE, 'edge', 'functions', 'gpu-runners', 'local', 'sdk', 'bench', 'examples'],
}

/** Packages that a folder may use; a folder that is not here may use any of package.json. */
const PACKAGES: Record<string, RegExp> = {
  schemas: /^(zod|drizzle-orm(\/pg-core)?)$/,
  core: /^(zod|drizzle-orm)$/,
  edge: /^(zod|hono(\/.*)?|cloudflare:workers)$/,
  sdk: /^node:/,
  console: /^$/,
  examples: /^node:/,
}

export const direction: Rule = {
  name: 'imports go one way, and runtimes never import each other',
  faults: sources => eachImport(sources, wrongWay),
  exceptions: {
    'sdk/generate.ts': 'writes the contract that the client knows, at development time',
    'examples/iris/fit.ts': 'writes its ONNX file with the builder that the tests use',
    'examples/fraud/network.ts': 'writes its ONNX file with the builder that the tests use',
  },
  plants: [
    [{ path: 'core/a.ts', text: "import { x } from '#platform/log.ts'" }],
    [{ path: 'core/a.ts', text: "export type { X } from '../edge/app.ts'" }],
    [{ path: 'edge/a.ts', text: "import type { X } from '#functions/deps.ts'" }],
    [{ path: 'gpu-runners/a.ts', text: "const x = await import('#edge/app.ts')" }],
    [{ path: 'sdk/a.ts', text: "import {\n  ROUTES,\n} from '#schemas/contracts/all.ts'" }],
    [{ path: 'extras/a.ts', text: "import { x } from '#core/error.ts'" }],
  ],
  spares: [
    [{ path: 'core/a.ts', text: "/** import { x } from '#platform/log.ts' */" }],
    [{ path: 'local/a.ts', text: "import { x } from '#edge/app.ts'" }],
    [{ path: 'sst.config.ts', text: "const x = await import('./stacks/main.ts')" }],
  ],
}

export const packages: Rule = {
  name: 'core and schemas know zod and drizzle, the edge knows hono, the client nothing',
  faults: sources => eachImport(sources, wrongPackage),
  exceptions: {
    'core/deps.ts': 'names the type of a drizzle transaction; no driver is loaded',
    'sdk/generate.ts': 'writes the contract that the client knows, at development time',
  },
  plants: [
    [{ path: 'core/a.ts', text: "import { readFile } from 'node:fs'" }],
    [{ path: 'core/a.ts', text: "import { S3Client } from '@aws-sdk/client-s3'" }],
    [{ path: 'edge/a.ts', text: "import { createHash } from 'node:crypto'" }],
    [{ path: 'sdk/a.ts', text: "import * as z from 'zod'" }],
  ],
}

function eachImport(sources: Source[], wrong: (path: string, import_: Import) => string | null) {
  return sources.filter(isCode).flatMap((source): Fault[] =>
    importsOf(source).flatMap(import_ => {
      const says = wrong(source.path, import_)
      return says ? [{ path: source.path, line: import_.line, says }] : []
    }),
  )
}

function wrongWay(path: string, import_: Import): string | null {
  const [from, to] = [folderOf(path), folderOf(import_.target)]
  if (from !== '' && !(from in MAY_IMPORT)) return `stands in a folder without a rule: ${from}/`
  if (!isOurs(import_) || from === to) return null
  if (MAY_IMPORT[from]?.includes(to)) return null
  return `imports ${import_.target}: ${from || 'the root'} may not import ${to}`
}

function wrongPackage(path: string, import_: Import): string | null {
  const allowed = PACKAGES[folderOf(path)]
  if (!allowed || isOurs(import_) || allowed.test(import_.specifier)) return null
  return `imports ${import_.specifier}, which ${folderOf(path)} may not know`
}
