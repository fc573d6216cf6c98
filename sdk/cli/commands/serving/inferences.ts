/** The inference log of a model: what was asked last, and all of it in files. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { digestOfFile, saveReply } from '../../../node.ts'
import { type Command, command } from '../../command.ts'
import { bytes, count, time } from '../../format.ts'
import { LIST_OPTIONS, listed } from '../listing.ts'

const REST = 'rest.jsonl'

const tail = command({
  words: 'inferences tail',
  takes: ['<model>'],
  summary: 'List what was logged last of what a model was asked, the newest first.',
  about: 'What stands in files already is had with "inferences export".',
  options: LIST_OPTIONS,
  examples: ['galley inferences tail iris --limit 5', 'galley inferences tail iris --json'],
  run: (context, [model], options) =>
    listed(context, options, {
      name: 'inferences.list',
      input: { params: { model: model! } },
      empty: `Nothing is logged of "${model}" that is in no file yet: galley models serving ${model} --log 0.1`,
      columns: [
        { title: 'AT', of: each => time(each.at) },
        { title: 'VERSION', right: true, of: each => each.version },
        { title: 'ROWS', right: true, of: each => count(each.rows) },
        { title: 'SUBJECT', of: each => (each.subject ? `${each.subject.entity}` : '-') },
        { title: 'REQUEST', of: each => each.id },
        { title: 'OUTPUTS', of: each => JSON.stringify(each.outputs).slice(0, 60) },
      ],
    }),
})

const segments = command({
  words: 'inferences segments',
  takes: ['<model>'],
  summary: 'List the files into which the inference log of a model was sealed.',
  options: LIST_OPTIONS,
  examples: ['galley inferences segments iris'],
  run: (context, [model], options) =>
    listed(context, options, {
      name: 'inferences.segments',
      input: { params: { model: model! } },
      empty: 'Nothing is sealed yet: an hour is, some minutes after it is over.',
      columns: [
        { title: 'HOUR', of: each => time(each.hour) },
        { title: 'ROWS', right: true, of: each => count(each.rows) },
        { title: 'SIZE', right: true, of: each => bytes(each.bytes) },
        { title: 'UNTIL', of: each => time(each.expires_at) },
        { title: 'SHA-256', of: each => each.sha256.slice(0, 12) },
        { title: 'ID', of: each => each.id },
      ],
    }),
})

const exportLog = command({
  words: 'inferences export',
  takes: ['<model>', '<folder>'],
  summary:
    'Write the inference log of a model: sealed hours as Parquet, the rest as lines of JSON.',
  about: `Digests are verified; files that are there already are not read again. What is in no file yet is written to ${REST}.`,
  examples: ['galley inferences export iris asked'],
  async run(context, [model, folder]) {
    const galley = await context.galley()
    const { signal } = context
    const path = resolve(context.cwd, folder!)
    await mkdir(path, { recursive: true })
    const params = { model: model! }
    const files: { file: string; rows: number; sha256: string }[] = []
    for await (const page of galley.pages('inferences.segments', { params }, { signal })) {
      for (const { id, sha256, rows } of page.data) {
        const to = join(path, `${id}.parquet`)
        if ((await digestOfFile(to)) !== sha256) {
          const of = { params: { ...params, segment_id: id } }
          await saveReply(galley, 'inferences.segment_content', of, { path: to, sha256, signal })
        }
        files.push({ file: to, rows, sha256 })
      }
    }
    const rest: string[] = []
    for await (const page of galley.pages('inferences.list', { params }, { signal })) {
      for (const each of page.data) rest.push(`${JSON.stringify(each)}\n`)
    }
    await writeFile(join(path, REST), rest.reverse().join(''))
    const rows = files.reduce((sum, file) => sum + file.rows, 0)
    const text = `${count(rows)} requests in ${count(files.length)} files, ${count(rest.length)} in ${REST}.`
    return { json: { files, rest: rest.length }, text }
  },
})

export const inferences: Command[] = [tail, segments, exportLog]
