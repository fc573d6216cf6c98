/**
 * Galley beside the Python servers over the same ONNX files with the same threads, on the same machine in one
 * run: two small models, an embedding transformer, and what is left of the capacity under overload.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { BARE_ENGINE, type Contender, GALLEY, PEER_NAMES, peers } from './contenders.ts'
import { buildSmallEncoder, measureGoodput } from './goodput.ts'
import { SMALL_MODELS, type SmallModel } from './models.ts'
import { measureSmall } from './small.ts'
import { buildTransformer, measureTransformer } from './transformer.ts'
import { verdictOf } from './verdict.ts'

const { values } = parseArgs({
  args: process.argv.slice(3),
  options: {
    peers: { type: 'string', default: PEER_NAMES.join(',') },
    models: { type: 'string', default: 'mlp,trees,transformer,overload' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '4' },
    /** One short round of everything: that it works, not how fast. */
    quick: { type: 'boolean', default: false },
  },
})
const effort = values.quick
  ? { rounds: 1, ms: 1_000, warmUpMs: 500 }
  : { rounds: Number(values.rounds), ms: Number(values.seconds) * 1_000, warmUpMs: 3_000 }
const wanted = names('peers', values.peers, PEER_NAMES)
const models = names('models', values.models, [
  ...Object.keys(SMALL_MODELS),
  'transformer',
  'overload',
])
const say = (line: string) => process.stdout.write(`${line}\n`)

const scratch = mkdtempSync(join(tmpdir(), 'galley-serving-'))
try {
  const { found, missing } = await peers(wanted, say)
  const contenders: Contender[] = [GALLEY, BARE_ENGINE, ...found]
  for (const { name, settings } of contenders) say(`${name}: ${settings}`)
  const rounds = new Map<SmallModel, Awaited<ReturnType<typeof measureSmall>>>()
  for (const model of Object.keys(SMALL_MODELS) as SmallModel[]) {
    if (!models.includes(model)) continue
    const { what, build } = SMALL_MODELS[model]
    say(`${model}: ${what}`)
    rounds.set(model, await measureSmall(contenders, fileOf(model, build()), effort, missing, say))
  }
  const transformer = models.includes('transformer')
    ? await measureTransformer(fileOf('transformer', buildTransformer()), effort, say)
    : null
  const overload = models.includes('overload')
    ? await measureGoodput(fileOf('overload', buildSmallEncoder()), effort, say)
    : null
  const verdict = verdictOf(rounds, missing)
  say(
    JSON.stringify({
      ...verdict,
      transformer_vs_bare: transformer?.vs_bare ?? null,
      goodput_overload: overload?.goodput ?? null,
      models: {
        ...verdict.models,
        ...(transformer && { transformer }),
        ...(overload && { overload }),
      },
      rounds: effort.rounds,
    }),
  )
} finally {
  rmSync(scratch, { recursive: true, force: true })
}

function fileOf(name: string, bytes: Uint8Array): string {
  const path = join(scratch, `${name}.onnx`)
  writeFileSync(path, bytes)
  return path
}

/** Throws on a name that is none of the known ones. */
function names(option: string, text: string, known: readonly string[]): string[] {
  const given = text.split(',').filter(Boolean)
  const wrong = given.find(name => !known.includes(name))
  if (wrong === undefined) return given
  throw new Error(`--${option} takes ${known.join(', ')}, with commas between; "${wrong}" is none.`)
}
