/** Publishing a version: its files, then what the graph alone does not say. */
import { basename, resolve } from 'node:path'
import type { Galley, Version } from '../../client.ts'
import { withFile } from '../../node.ts'
import type { PublishFiles, PublishOptions } from '../../publish.ts'
import { type Context, command, UsageError } from '../command.ts'
import { list, pair } from '../format.ts'
import { ofUpload, progress } from '../progress.ts'
import { versionText } from './models.ts'

export const modelsPublish = command({
  words: 'models publish',
  takes: ['<model>', '<file...>'],
  summary: 'Publish a version: upload its files, have them validated, wait until it is ready.',
  about: `A file is known to the graph by its name; "weights/a.bin=path" gives it another one. The same
files again are the same version.`,
  options: {
    graph: { value: 'name', help: 'the ONNX graph among several files' },
    'batch-axis': {
      value: 'tensor=axis',
      many: true,
      help: 'where rows are joined, or "none"; found by itself if not given',
    },
    'trial-shape': {
      value: 'tensor=1,16',
      many: true,
      help: 'a shape for the trial run, where the graph leaves it open',
    },
    embedding: {
      value: 'json',
      help: 'how texts become its input: tokenizer, max_tokens, pooling, …',
    },
    hardware: { value: 'class', help: 'runners of this class alone may run it; any, if not given' },
    alias: { value: 'name', help: 'then point this alias at the version' },
  },
  examples: [
    'galley models publish iris iris.onnx --alias champion',
    'galley models publish big model.onnx model.onnx.data --hardware cuda',
    `galley models publish words model.onnx tokenizer.json --embedding '{"tokenizer":"tokenizer.json","max_tokens":256,"pooling":"mean"}'`,
    'galley models publish vad silero.onnx --batch-axis state=1 --batch-axis sr=none',
  ],
  async run(context, [model, ...paths], options) {
    const galley = await context.galley()
    const manifest = {
      graph: options.graph,
      batch_axes: mapped('--batch-axis', options['batch-axis'], axisOf),
      embedding: embeddingOf(options.embedding),
      trial_shapes: mapped('--trial-shape', options['trial-shape'], shapeOf),
      hardware: options.hardware,
    }
    let version = await upload(context, galley, model!, paths, manifest)
    const { alias } = options
    if (alias !== undefined) {
      const input = { params: { model: model!, alias }, body: { version: version.version } }
      await galley.request('models.alias', input, { signal: context.signal })
      version = { ...version, aliases: [...new Set([...version.aliases, alias])] }
    }
    return { json: version, text: versionText(context.terminal, version) }
  },
})

async function upload(
  { terminal, cwd, signal }: Context,
  galley: Galley,
  model: string,
  paths: string[],
  manifest: PublishOptions,
): Promise<Version> {
  const bars = new Map<string, ReturnType<typeof progress>>()
  const onProgress: PublishOptions['onProgress'] = ({ file, ...at }) => {
    const bar = bars.get(file) ?? progress(terminal, file, 'bytes')
    bars.set(file, bar)
    ofUpload(bar)(at)
    if (at.sent === at.total && !at.isVerifying) bar.end()
  }
  const named = paths.map(path =>
    path.includes('=') ? pair('file', path) : [basename(path), path],
  )
  const publish = (files: PublishFiles) =>
    galley.publish(model, files, { ...manifest, onProgress, signal })
  try {
    return await opened(
      named.map(([name, path]) => [name!, resolve(cwd, path!)]),
      {},
      publish,
    )
  } finally {
    for (const bar of bars.values()) bar.end()
  }
}

/** Opens one file after the other, and closes all when the work is done. */
function opened<T>(
  [first, ...rest]: [name: string, path: string][],
  files: PublishFiles,
  work: (files: PublishFiles) => Promise<T>,
): Promise<T> {
  if (!first) return work(files)
  const [name, path] = first
  if (files[name]) throw new UsageError(`Two files are named "${name}"; write other-name=path.`)
  return withFile(path, source => opened(rest, { ...files, [name]: source }, work))
}

function mapped<T>(option: string, texts: string[], read: (text: string) => T) {
  if (texts.length === 0) return undefined
  const entries = texts.map(text => {
    const [name, value] = pair(option, text)
    return [name, read(value)] as const
  })
  return Object.fromEntries(entries)
}

/** The manifest's own form: what is wrong with it, the server says. */
function embeddingOf(text: string | undefined): PublishOptions['embedding'] {
  if (text === undefined) return undefined
  try {
    return JSON.parse(text) as PublishOptions['embedding']
  } catch (error) {
    throw new UsageError(`--embedding takes JSON: ${(error as Error).message}.`)
  }
}

function axisOf(text: string): number | null {
  if (text === 'none') return null
  if (/^[0-8]$/.test(text)) return Number(text)
  throw new UsageError(`--batch-axis takes tensor=axis, from 0 to 8 or none, not "${text}".`)
}

function shapeOf(text: string): number[] {
  const shape = list(text).map(Number)
  if (shape.every(size => Number.isSafeInteger(size) && size >= 1)) return shape
  throw new UsageError(`--trial-shape takes sizes such as 1,16, not "${text}".`)
}
