/** Asking a model from the command line. */
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Galley, InferReply } from '../../client.ts'
import { parseExact } from '../../inference/exact-json.ts'
import type { InferInput } from '../../inference/infer.ts'
import { type Context, command, modelRef, UsageError } from '../command.ts'
import { list } from '../format.ts'
import { type TensorInfo, tensorsOf, valuesOf } from '../tensors/read.ts'
import { outputTable } from '../tensors/show.ts'

export const predict = command({
  words: 'predict',
  takes: ['<model[@version]>', '[values...]'],
  summary: 'Ask a model.',
  about: `Values are name=value for each input, in JSON or as numbers separated by commas; "name=@file" reads
them from a file. A model with one input needs no name, and one row needs no outer brackets. One
argument in braces is {"name": values, …}, or a whole request of the Open Inference Protocol.`,
  options: {
    input: { value: 'file', help: 'read the JSON from a file, or from stdin with "-"' },
    outputs: { value: 'list', help: 'only these outputs' },
  },
  examples: [
    'galley predict iris 5.1,3.5,1.4,0.2',
    'galley predict iris@champion measurements=[[5.1,3.5,1.4,0.2],[6.7,3.0,5.2,2.3]]',
    'galley predict mixed \'{"age": [41], "city": ["Oslo"]}\' --outputs score --json',
    'galley predict iris --input request.json',
  ],
  async run(context, [ref, ...values], options) {
    const { model, version } = modelRef(ref!)
    const text = await documentOf(context, values, options.input)
    const galley = await context.galley()
    const input = await inputOf(context, galley, { model, version }, text, values)
    const wanted = options.outputs ? list(options.outputs).map(name => ({ name })) : undefined
    const request = wanted ? { ...input, outputs: wanted } : input
    const { signal } = context
    const reply = await galley.infer(model, request, { version, signal })
    return { json: reply, text: shown(context, reply) }
  },
})

/** The JSON document that was given, from wherever it comes; null where values were. */
async function documentOf(
  { terminal, cwd }: Context,
  values: string[],
  path: string | undefined,
): Promise<string | null> {
  if (path !== undefined && values.length > 0) {
    throw new UsageError('Give values or --input, not both.')
  }
  if (path === '-') return terminal.input()
  if (path !== undefined) return readFile(resolve(cwd, path), 'utf8')
  if (values.length === 0) throw new UsageError('Which values? See "galley predict --help".')
  return values[0]!.startsWith('{') ? values[0]! : null
}

async function inputOf(
  context: Context,
  galley: Galley,
  ref: { model: string; version: string | undefined },
  text: string | null,
  values: string[],
): Promise<InferInput> {
  const document = text === null ? null : parsed(text)
  if (document && Array.isArray(document.inputs)) return document as InferInput
  const infos = await inputsOf(context, galley, ref)
  if (document) return { inputs: tensorsOf(infos, new Map(Object.entries(document))) }
  const file = (path: string) => readFile(resolve(context.cwd, path), 'utf8')
  return { inputs: tensorsOf(infos, await valuesOf(infos, values, file)) }
}

async function inputsOf(
  { signal }: Context,
  galley: Galley,
  { model, version }: { model: string; version: string | undefined },
): Promise<TensorInfo[]> {
  const metadata = version
    ? await galley.request('oip.metadata_version', { params: { model, version } }, { signal })
    : await galley.request('oip.metadata', { params: { model } }, { signal })
  return (metadata as unknown as { inputs: TensorInfo[] }).inputs
}

function parsed(text: string): Record<string, unknown> {
  try {
    const document = parseExact(text)
    if (typeof document === 'object' && document !== null && !Array.isArray(document)) {
      return document as Record<string, unknown>
    }
  } catch {}
  throw new UsageError('The input is no JSON object; write {"name": values}, or name=value.')
}

function shown({ terminal }: Context, reply: InferReply): string {
  const head = `${reply.model_name}@${reply.model_version}`
  return `${terminal.style('bold', head)}\n${outputTable(terminal, reply.outputs)}`
}
