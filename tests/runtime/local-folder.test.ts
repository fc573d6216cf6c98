import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { AppError } from '#core/error.ts'
import { type DataFolder, type Engines, openFolder } from '#local/folder.ts'
import { temporaryFolder } from './local/process.ts'

const LARGE = 2 ** 60

test('the folder and its secrets are for its owner alone, and stay the same', () => {
  const path = join(temporaryFolder(), 'data')
  const first = opened(path)
  first.lock.release()
  expect(opened(path).secrets).toEqual(first.secrets)
  expect(statSync(path).mode & 0o777).toBe(0o700)
  expect(statSync(join(path, 'secrets.json')).mode & 0o777).toBe(0o600)
})

test('two cannot hold one folder', () => {
  const path = temporaryFolder()
  const first = opened(path)
  first.lock.announce('http://127.0.0.1:4500')
  expect(refusal(path)).toContain(`(process ${process.pid}, http://127.0.0.1:4500)`)
  first.lock.release()
  expect(refusal(path)).toBeUndefined()
})

test.each(['secrets.json', 'galley.json'])('a damaged %s is refused, never replaced', name => {
  const path = temporaryFolder()
  opened(path).lock.release()
  const text = readFileSync(join(path, name), 'utf8')
  writeFileSync(join(path, name), text.slice(0, -9))
  expect(refusal(path)).toContain(`${name} is missing or damaged: restore it from a backup`)
  expect(readFileSync(join(path, name), 'utf8')).toBe(text.slice(0, -9))
})

test('a first start that was killed before its seal goes on with the secrets it had', () => {
  const path = temporaryFolder()
  const first = opened(path)
  first.lock.release()
  const { secrets } = first
  const left = temporaryFolder()
  mkdirSync(join(left, 'run'))
  writeFileSync(join(left, 'secrets.json'), JSON.stringify(secrets))
  expect(opened(left).secrets).toEqual(secrets)
})

test('a folder of a newer Galley is refused', () => {
  const path = temporaryFolder()
  opened(path).lock.release()
  writeFileSync(join(path, 'galley.json'), JSON.stringify({ format: 99, more: true }))
  expect(refusal(path)).toContain('written by a newer Galley (format 99')
})

test('objects that another engine wrote are refused', () => {
  const path = temporaryFolder()
  opened(path).lock.release()
  expect(refusal(path, { edge: 'workerd' })).toContain('were written with --edge node')
})

test('queues and blobs that are elsewhere are not sought here, nor the other way round', () => {
  const path = temporaryFolder()
  opened(path).lock.release()
  expect(refusal(path, { queue: 'sqs' })).toContain('start with --queue postgres')
  expect(refusal(path, { blob: 's3' })).toContain('start with --blob folder')
})

test('a folder from before it said where its queues and blobs are has them here', () => {
  const path = temporaryFolder()
  opened(path).lock.release()
  const written = JSON.parse(readFileSync(join(path, 'galley.json'), 'utf8'))
  const { queue_engine: _, blob_engine: __, ...before } = written
  writeFileSync(join(path, 'galley.json'), JSON.stringify(before))
  expect(refusal(path)).toBeUndefined()
  expect(refusal(path, { blob: 's3' })).toContain('start with --blob folder')
})

test("somebody else's folder is refused and left as it was", () => {
  const path = temporaryFolder()
  writeFileSync(join(path, 'thesis.txt'), '')
  expect(refusal(path)).toContain('holds other things (thesis.txt)')
})

test('a disk without room is refused with what is needed', () => {
  expect(refusal(temporaryFolder(), {}, LARGE)).toMatch(/has \d+ MB free and Galley needs \d+ MB/)
})

test('what is no folder is refused with what would be', () => {
  const path = join(temporaryFolder(), 'file')
  writeFileSync(path, '')
  expect(refusal(path)).toContain('is not a folder that this user may write to')
})

const ENGINES: Engines = { edge: 'node', queue: 'postgres', blob: 'folder' }

function opened(path: string): DataFolder {
  return openFolder(path, ENGINES, 0)
}

function refusal(path: string, engines: Partial<Engines> = {}, freeBytesMin = 0) {
  try {
    openFolder(path, { ...ENGINES, ...engines }, freeBytesMin).lock.release()
  } catch (error) {
    if (error instanceof AppError) return error.public
    throw error
  }
}

test('where no folder can be made the start ends with what would be right', () => {
  expect(refusal('/proc/galley')).toContain('choose another one with --data')
})
