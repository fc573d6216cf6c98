/** The log of a type as Parquet in a folder: segments as they lie, then what is not sealed, and a manifest last. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Galley, Reply } from '../../../client.ts'
import { digestOfFile, saveReply } from '../../../node.ts'
import { type Context, command, UsageError } from '../../command.ts'
import { count } from '../../format.ts'
import { progress } from '../../progress.ts'

const MANIFEST = 'manifest.json'

type Plan = Reply<'events.export'>
type Segment = Plan['segments'][number]
type Saved = { file: string; sha256: string; bytes: number; rows: number; segment: string | null }

export const exportLog = command({
  words: 'events export',
  takes: ['<folder>'],
  summary: 'Write the log of a type as Parquet, with a manifest.',
  about:
    'Sealed hours that overlap the span come whole; digests are verified, and files that are there already are not read again. manifest.json is written last.',
  options: {
    type: { value: 'type', help: 'which events (needed)' },
    from: { value: 'time', help: 'that happened at this time or later' },
    to: { value: 'time', help: 'that happened before this time' },
  },
  examples: ['galley events export payments --type payment --from 2026-01-01T00:00:00Z'],
  async run(context, [folder], { type, from, to }) {
    if (type === undefined) throw new UsageError('Which events? Add --type <type>.')
    const galley = await context.galley()
    const { signal } = context
    const query = { type, from, to }
    const plan = await galley.request('events.export', { query }, { signal })
    const contract = await galley.request('event_types.get', { params: { type } }, { signal })
    const path = resolve(context.cwd, folder!)
    await mkdir(path, { recursive: true })
    const files = await saved(context, galley, plan, path)
    const rows = files.reduce((sum, file) => sum + file.rows, 0)
    const manifest = { type, version: plan.version, from, to, rows, contract, files }
    await writeFile(join(path, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`)
    const text = `${count(rows)} rows in ${count(files.length)} files, and ${join(path, MANIFEST)}.`
    return { json: manifest, text }
  },
})

async function saved(
  context: Context,
  galley: Galley,
  plan: Plan,
  folder: string,
): Promise<Saved[]> {
  const bar = progress(context.terminal, 'export', 'rows')
  const total = plan.segments.reduce((sum, segment) => sum + segment.rows, 0)
  const files: Saved[] = []
  let rows = 0
  const add = (file: Saved) => {
    files.push(file)
    rows += file.rows
    bar.update(rows, plan.rest === null ? total : null)
  }
  try {
    for (const segment of plan.segments) add(await segmentSaved(context, galley, segment, folder))
    for (let cursor = plan.rest, number = 0; cursor !== null; number++) {
      const { file, next } = await restSaved(context, galley, { cursor, number, folder })
      if (file.rows > 0 || files.length === 0) add(file)
      cursor = next
    }
    return files
  } finally {
    bar.end()
  }
}

async function segmentSaved(
  { signal }: Context,
  galley: Galley,
  { id, hour, sha256, bytes, rows }: Segment,
  folder: string,
): Promise<Saved> {
  const file = `${hour.slice(0, 13)}-${id}.parquet`
  const path = join(folder, file)
  if ((await digestOfFile(path)) !== sha256) {
    const input = { params: { segment_id: id } }
    await saveReply(galley, 'events.segment_content', input, { path, sha256, signal })
  }
  return { file, sha256, bytes, rows, segment: id }
}

async function restSaved(
  { signal }: Context,
  galley: Galley,
  { cursor, number, folder }: { cursor: string; number: number; folder: string },
): Promise<{ file: Saved; next: string | null }> {
  const file = `rest-${String(number).padStart(5, '0')}.parquet`
  const path = join(folder, file)
  const input = { query: { cursor } }
  const reply = await saveReply(galley, 'events.export_rest', input, { path, signal })
  const { sha256, bytes, headers } = reply
  const rows = Number(headers.get('galley-rows') ?? 0)
  const next = headers.get('galley-next-cursor')
  return { file: { file, sha256, bytes, rows, segment: null }, next }
}
