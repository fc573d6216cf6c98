/** `galley models profile`: the curve of a version as a table, as JSON and as a picture. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { folder, galley, peerOf } from '../cli-run.ts'

const tuning = {
  hardware: 'cpu',
  threads: 1,
  batch_rows: 2,
  row_us: 12.5,
  load_ms: 3,
  curve: [
    { threads: 1, rows: 1, run_us: 20 },
    { threads: 1, rows: 2, run_us: 25 },
    { threads: 2, rows: 1, run_us: 30 },
  ],
}
const version = (number: number, given: object) => ({
  model: 'iris',
  version: number,
  state: 'ready',
  tuning,
  ...given,
})
const registry = (of: object = {}) =>
  peerOf(({ path }) => {
    if (/\/versions\/(3|champion)$/.test(path)) return { json: version(3, of) }
    if (/\/versions(\?|$)/.test(path)) {
      const data = [version(4, { state: 'validating', tuning: null }), version(3, of)]
      return { json: { data, next_cursor: null } }
    }
    return { json: { name: 'iris', latest: 4, aliases: {} } }
  })

const run = ({ url }: { url: string }) => galley(['models', 'profile', 'iris@3'], { url })

test('the curve stands in a table, with what is used of it; a model alone means its newest ready version', async () => {
  const peer = await registry()
  const { out, code } = await galley(['models', 'profile', 'iris'], { url: peer.url })
  expect(code).toBe(0)
  expect(out).toMatch(/iris@3/)
  expect(out).toMatch(/1 +1 +0\.020 +50000\n/)
  expect(out).toMatch(/1 +2 +0\.025 +80000 +← is used\n/)
})

test('as JSON it is the measurement itself', async () => {
  const peer = await registry()
  const { out } = await galley(['models', 'profile', 'iris@3', '--json'], { url: peer.url })
  expect(JSON.parse(out)).toEqual({ model: 'iris', version: 3, ...tuning })
})

test('as a picture it has a line for each number of threads and marks what is used', async () => {
  const peer = await registry()
  await galley(['models', 'profile', 'iris@champion', '--output', 'iris.svg'], { url: peer.url })
  const svg = await readFile(join(folder, 'iris.svg'), 'utf8')
  expect(svg).toContain('<title>iris@3 on cpu: 1 thread, 2 rows a batch at most</title>')
  expect(svg.match(/stroke-width="2"\/>/g)).toHaveLength(6)
  expect(svg.match(/<circle /g)).toHaveLength(2)
  expect(svg).not.toMatch(/NaN|Infinity|undefined/)
})

test('a version that was not measured is told apart from one that is not ready', async () => {
  const old = await run(await registry({ tuning: null }))
  expect(old.code).not.toBe(0)
  expect(old.err).toMatch(/iris@3 was not measured; publish it anew/)
  const invalid = { tuning: null, state: 'invalid' }
  const wrong = await run(await registry(invalid))
  expect(wrong.err).toMatch(/iris@3 is invalid/)
})
