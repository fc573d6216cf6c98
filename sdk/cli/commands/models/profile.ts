/** How a version runs: rows per second and time of a run by size of batch and number of threads. */
import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Galley, Version } from '../../../client.ts'
import { command, modelRef, UsageError } from '../../command.ts'
import { fields, table } from '../../table.ts'
import type { Terminal } from '../../terminal.ts'
import { plotOf } from './plot.ts'

export type Tuning = NonNullable<Version['tuning']>
type Point = Tuning['curve'][number]

export const modelsProfile = command({
  words: 'models profile',
  takes: ['<model[@version]>'],
  summary: 'Show how a version runs by size of batch and threads, and how it is run.',
  about: `Measured on a runner when the version was published. Without a version it is the one that
requests without a version mean. --output draws the curve.`,
  options: {
    output: { value: 'file.svg', help: 'where to write the curve as a picture' },
  },
  examples: ['galley models profile iris', 'galley models profile iris@3 --output iris.svg'],
  async run({ galley, terminal, signal, cwd }, [ref], { output }) {
    const { model, version: wanted } = modelRef(ref!)
    const api = await galley()
    const number = wanted ?? (await usualVersion(api, model, signal))
    const params = { model, version: number }
    const version = await api.request('models.version', { params }, { signal })
    const { tuning } = version
    const name = `${model}@${version.version}`
    if (!tuning) {
      throw new UsageError(
        version.state === 'ready'
          ? `${name} was not measured; publish it anew to have it measured.`
          : `${name} is ${version.state}; only a ready version was measured.`,
      )
    }
    if (output !== undefined) await writeFile(resolve(cwd, output), plotOf(name, tuning))
    return {
      json: { model, version: version.version, ...tuning },
      text: textOf(terminal, name, tuning),
    }
  },
})

/** What a request without a version means: the champion, or the newest that is ready. */
async function usualVersion(api: Galley, model: string, signal: AbortSignal): Promise<string> {
  const { aliases } = await api.request('models.get', { params: { model } }, { signal })
  if (aliases.champion !== undefined) return 'champion'
  for await (const version of api.each('models.versions', { params: { model } }, { signal })) {
    if (version.state === 'ready') return String(version.version)
  }
  throw new UsageError(`${model} has no ready version yet.`)
}

function textOf(terminal: Terminal, name: string, tuning: Tuning): string {
  const { hardware, threads, batch_rows, row_us, load_ms, curve } = tuning
  const head = fields(terminal, {
    version: name,
    'measured on': hardware,
    threads,
    'rows of a batch, at most': batch_rows,
    'a row takes': `${row_us} µs`,
    'loading took': `${load_ms} ms`,
  })
  const isChosen = (point: Point) => point.threads === threads && point.rows === batch_rows
  const rows = table(
    terminal,
    [
      { title: 'THREADS', right: true, of: point => point.threads },
      { title: 'ROWS', right: true, of: point => point.rows },
      { title: 'RUN MS', right: true, of: point => (point.run_us / 1000).toFixed(3) },
      { title: 'ROWS/S', right: true, of: point => Math.round((point.rows * 1e6) / point.run_us) },
      { title: '', of: point => (isChosen(point) ? '← is used' : '') },
    ],
    curve,
  )
  return `${head}\n\n${rows}`
}
