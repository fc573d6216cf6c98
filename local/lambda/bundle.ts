/**
 * Bundles of the functions for Lambda: each a folder with one module, its source map, and what cannot be in
 * a module. The same sources give the same bytes.
 */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { deflateRawSync } from 'node:zlib'
import { AppError } from '#core/error.ts'
import type { FunctionName } from '#schemas/cloud/functions.ts'
import { BUDGETS, NATIVE_KB_MAX } from './budget.ts'
import { type Arch, nativePackages } from './native.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const NATIVE = '@duckdb/node-api'
/** Of each file in an archive, its two headers. */
const ENTRY_BYTES = 92

/** What packages written for `require` ask for. */
const BANNER = `import{createRequire as __createRequire}from'node:module';const require=__createRequire(import.meta.url);`

export type Bundle = {
  name: FunctionName
  folder: string
  /** Of its own code with the source map, and of native code, compressed as in the archive that Lambda takes. */
  codeKb: number
  nativeKb: number
  /** What is over its budget, in words. */
  over: string | null
}

/** Makes the bundle of one function in `<outFolder>/<name>`. */
export async function bundleFunction(
  name: FunctionName,
  o: { outFolder: string; arch: Arch },
): Promise<Bundle> {
  const budget = BUDGETS[name]
  const folder = join(o.outFolder, name)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  await compile(name, folder)
  if (budget.migrations) copyMigrations(join(folder, 'migrations'))
  const codeKb = packedKb(folder)
  if (budget.native) {
    for (const { name: to, from } of await nativePackages(NATIVE, o.arch)) {
      cpSync(from, join(folder, 'node_modules', to), { recursive: true, dereference: true })
    }
  }
  const nativeKb = budget.native ? packedKb(join(folder, 'node_modules')) : 0
  const over =
    codeKb > budget.codeKbMax
      ? `its code has ${codeKb} KB, and may have ${budget.codeKbMax}`
      : nativeKb > NATIVE_KB_MAX
        ? `its native code has ${nativeKb} KB, and may have ${NATIVE_KB_MAX}`
        : null
  return { name, folder, codeKb, nativeKb, over }
}

async function compile(name: FunctionName, folder: string): Promise<void> {
  const { build } = await loadEsbuild()
  await build({
    absWorkingDir: ROOT,
    entryPoints: { index: `functions/lambda/${name}.ts` },
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    minify: true,
    // Names of functions stand in stacks, and those of classes in errors.
    keepNames: true,
    sourcemap: true,
    sourcesContent: false,
    legalComments: 'none',
    banner: { js: BANNER },
    // `pg` asks for its own native client, which nobody installs.
    external: [NATIVE, 'pg-native'],
    logLevel: 'silent',
  }).catch(cause => {
    throw new AppError('internal', {
      public: `The function ${name} could not be bundled: ${cause.message}`,
      cause,
    })
  })
}

function copyMigrations(to: string): void {
  const from = join(ROOT, 'schemas/migrations')
  mkdirSync(join(to, 'meta'), { recursive: true })
  for (const file of readdirSync(from).filter(file => file.endsWith('.sql'))) {
    cpSync(join(from, file), join(to, file))
  }
  // Without the snapshots, which only the next migration is made from.
  const journal = join('meta', '_journal.json')
  writeFileSync(join(to, journal), readFileSync(join(from, journal)))
}

function packedKb(folder: string): number {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
  let bytes = 0
  for (const file of files.filter(each => each.isFile())) {
    const path = join(file.parentPath, file.name)
    bytes += deflateRawSync(readFileSync(path)).length + ENTRY_BYTES + 2 * file.name.length
  }
  return Math.ceil(bytes / 1024)
}

async function loadEsbuild(): Promise<typeof import('esbuild')> {
  try {
    return createRequire(import.meta.url)('esbuild')
  } catch (cause) {
    throw new AppError('unavailable', {
      public: 'Bundles need the development dependencies: run "npm install" first.',
      cause,
    })
  }
}
