/** The model registry: what there is, and which version an alias means. */
import type { Signature, Version } from '../../client.ts'
import { type Command, command, modelRef, UsageError, versionRef } from '../command.ts'
import { pairs, time } from '../format.ts'
import { type Column, fields, table } from '../table.ts'
import type { Terminal } from '../terminal.ts'
import { LIST_OPTIONS, listed } from './listing.ts'

const VERSION_COLUMNS: Column<Version>[] = [
  { title: 'VERSION', right: true, of: version => version.version },
  { title: 'STATE', of: version => version.state },
  { title: 'ALIASES', of: version => version.aliases.join(' ') || '-' },
  { title: 'DIGEST', of: version => version.digest.slice(0, 12) },
  { title: 'CREATED', of: version => time(version.created_at) },
  { title: 'WHAT IS WRONG', of: version => version.error ?? '' },
]

const listing = command({
  words: 'models list',
  summary: 'List models.',
  options: LIST_OPTIONS,
  examples: ['galley models list'],
  run: (context, _args, options) =>
    listed(context, options, {
      name: 'models.list',
      empty: 'No models yet. Publish one with: galley models publish <model> <file.onnx>',
      columns: [
        { title: 'MODEL', of: model => model.name },
        { title: 'LATEST', right: true, of: model => model.latest },
        { title: 'ALIASES', of: model => pairs(model.aliases) },
        { title: 'CREATED', of: model => time(model.created_at) },
      ],
    }),
})

const show = command({
  words: 'models show',
  takes: ['<model[@version]>'],
  summary: 'Show a model with its aliases, or one version with its tensors.',
  examples: ['galley models show iris', 'galley models show iris@champion'],
  async run({ galley, terminal, signal }, [ref]) {
    const { model, version } = modelRef(ref!)
    const api = await galley()
    if (version !== undefined) {
      const found = await api.request('models.version', { params: { model, version } }, { signal })
      return { json: found, text: versionText(terminal, found) }
    }
    const found = await api.request('models.get', { params: { model } }, { signal })
    const text = fields(terminal, {
      model: found.name,
      latest: found.latest,
      aliases: pairs(found.aliases),
      created: time(found.created_at),
    })
    return { json: found, text }
  },
})

const versions = command({
  words: 'models versions',
  takes: ['<model>'],
  summary: 'List the versions of a model, newest first.',
  options: LIST_OPTIONS,
  examples: ['galley models versions iris'],
  run: (context, [model], options) =>
    listed(context, options, {
      name: 'models.versions',
      input: { params: { model: model! } },
      empty: `No versions yet. Publish one with: galley models publish ${model} <file.onnx>`,
      columns: VERSION_COLUMNS,
    }),
})

const alias = command({
  words: 'models alias',
  takes: ['<model@version>', '<alias>'],
  summary: 'Point an alias at a ready version, in one step.',
  about: 'Requests that name no version go to "champion", where that alias is set.',
  examples: ['galley models alias iris@3 champion', 'galley models alias iris@candidate champion'],
  async run({ galley, signal }, [ref, name]) {
    const { model, version } = versionRef(ref!)
    const api = await galley()
    const number = /^\d+$/.test(version)
      ? Number(version)
      : (await api.request('models.version', { params: { model, version } }, { signal })).version
    const input = { params: { model, alias: name! }, body: { version: number } }
    const changed = await api.request('models.alias', input, { signal })
    return { json: changed, text: `${model}@${name} is version ${number} now.` }
  },
})

const unalias = command({
  words: 'models unalias',
  takes: ['<model@alias>'],
  summary: 'Remove an alias; the version stays.',
  examples: ['galley models unalias iris@candidate'],
  async run({ galley, signal }, [ref]) {
    const { model, version: name } = versionRef(ref!)
    if (/^\d/.test(name)) throw new UsageError(`${name} is a number, not an alias.`)
    const input = { params: { model, alias: name } }
    const changed = await (await galley()).request('models.unalias', input, { signal })
    return { json: changed, text: `The alias ${name} of ${model} is removed.` }
  },
})

const remove = command({
  words: 'models delete',
  takes: ['<model@version>'],
  summary: 'Delete a version that no alias and no running job uses.',
  examples: ['galley models delete iris@2'],
  async run({ galley, signal }, [ref]) {
    const params = versionRef(ref!)
    const deleted = await (await galley()).request('models.delete', { params }, { signal })
    return { json: deleted, text: `Version ${deleted.version} of ${deleted.model} is deleted.` }
  },
})

export const models: Command[] = [listing, show, versions, alias, unalias, remove]

export function versionText(terminal: Terminal, version: Version): string {
  const head = fields(terminal, {
    version: `${version.model}@${version.version}`,
    state: version.state,
    aliases: version.aliases.join(' ') || '-',
    digest: version.digest,
    batching: version.signature?.batching,
    created: time(version.created_at),
    ready: version.ready_at === null ? undefined : time(version.ready_at),
    wrong: version.error ?? undefined,
  })
  return version.signature ? `${head}\n\n${tensors(terminal, version.signature)}` : head
}

function tensors(terminal: Terminal, { inputs, outputs }: Signature): string {
  const rows = [
    ...inputs.map(tensor => ({ side: 'input', ...tensor })),
    ...outputs.map(tensor => ({ side: 'output', ...tensor })),
  ]
  return table(
    terminal,
    [
      { title: 'SIDE', of: row => row.side },
      { title: 'TENSOR', of: row => row.name },
      { title: 'TYPE', of: row => row.datatype },
      {
        title: 'SHAPE',
        of: row => `[${row.shape.map(size => (size < 0 ? '?' : size)).join(', ')}]`,
      },
      { title: 'BATCH AXIS', of: row => row.batch_axis ?? 'none' },
    ],
    rows,
  )
}
