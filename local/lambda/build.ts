/**
 * `npm run build:functions -- [--arch arm64|x64] [--out folder]`: the bundles that `sst deploy` takes, one
 * folder a function. The last line is one JSON object; a bundle over its budget is a failure.
 */
import { parseArgs } from 'node:util'
import { AppError } from '#core/error.ts'
import { FUNCTION_NAMES } from '#schemas/cloud/functions.ts'
import { type Bundle, bundleFunction } from './bundle.ts'
import { ARCHS, type Arch } from './native.ts'

const { values } = parseArgs({
  options: {
    // As stacks/functions.ts asks for.
    arch: { type: 'string', default: 'arm64' },
    out: { type: 'string', default: 'dist/functions' },
  },
})
const { arch, out: outFolder } = values
const print = (line: string) => process.stdout.write(`${line}\n`)

try {
  if (!(ARCHS as readonly string[]).includes(arch)) {
    throw new AppError('invalid_request', {
      public: `--arch is "${arch}"; it is one of ${ARCHS.join(', ')}.`,
    })
  }
  const bundles: Bundle[] = []
  for (const name of FUNCTION_NAMES) {
    const bundle = await bundleFunction(name, { outFolder, arch: arch as Arch })
    const native = bundle.nativeKb > 0 ? `, native code ${bundle.nativeKb} KB` : ''
    print(`${bundle.over ? 'OVER' : 'ok  '}  ${bundle.folder}: code ${bundle.codeKb} KB${native}`)
    bundles.push(bundle)
  }
  const sizes = bundles.map(({ name, codeKb, nativeKb }) => [
    name,
    { code_kb: codeKb, native_kb: nativeKb },
  ])
  const over = bundles.filter(bundle => bundle.over)
  for (const { name, over: why } of over) print(`${name} is over its budget: ${why}.`)
  print(JSON.stringify({ build: 'functions', arch, bundles: Object.fromEntries(sizes) }))
  process.exitCode = over.length === 0 ? 0 : 1
} catch (error) {
  process.stderr.write(`${error instanceof AppError ? error.public : String(error)}\n`)
  process.exitCode = 1
}
