import { expect, test } from 'vitest'
import { AppError } from '#core/error.ts'
import { PLACES, placesFor } from '#local/children.ts'
import { parseFlags } from '#local/flags.ts'

test('without flags it listens on this machine only and keeps its data beside the project', () => {
  expect(parseFlags([], '/home/ada')).toMatchObject({
    host: '127.0.0.1',
    port: 4500,
    dataFolder: '/home/ada/.galley',
    edge: 'node',
    queue: 'postgres',
    blob: 'folder',
    runners: 1,
    runnersMax: undefined,
  })
})

test.each([
  [['--port', 'http'], '--port is a number from 0 to 65535, not "http"'],
  [['--port', '70000'], '--port is a number'],
  [['--edge', 'deno'], '--edge is node or workerd, not "deno"'],
  [['--queue', 'kafka'], '--queue is postgres or sqs, not "kafka"'],
  [['--blob', 'gcs'], '--blob is folder or s3, not "gcs"'],
  [['--database-url', 'mysql://x'], '--database-url has the form postgres://'],
  [['--runners', '0'], '--runners is a number from 1 to'],
  [['--runners', 'two'], '--runners is a number from 1 to'],
  [['--runners', '8..2'], 'two of them with the least first'],
  [['--runners', '4..4'], 'two of them with the least first'],
  [['--runners', '0..65'], 'from 0, as in 0..8; not "0..65"'],
  [['--prot', '1'], 'the flags are --port'],
  [['serve'], 'the flags are --port'],
  // What is left of `npm start --port 18555`.
  [['18555'], 'Flags come after "--": npm start -- --port'],
])('%j is refused with what would be right', (args, sentence) => {
  expect(() => parseFlags(args, '/')).toThrow(AppError)
  expect(() => parseFlags(args, '/')).toThrow(sentence)
})

test('runners side by side have a name, a receipt log and a log file each', () => {
  const places = placesFor(PLACES, { edge: 'node', runners: 3, runnersMax: undefined })
  const names = places.map(place => place.name)
  expect(new Set(names).size).toBe(names.length)
  const runners = places.flatMap(place => place.env?.GALLEY_RUNNER ?? [])
  expect(runners).toEqual(['runner-0', 'runner-1', 'runner-2'])
})
