import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { isAlive, startProgram, temporaryFolder, until } from './local/process.ts'

const start = (folder: string, ...places: string[]) =>
  startProgram('galley.ts', folder, '0', ...places)

test('a place that is killed comes back on its port, and the others stay', async () => {
  const folder = temporaryFolder()
  const galley = start(folder, 'inner', 'outer')
  const before = await galley.said()
  const port = readFileSync(join(folder, 'run/inner.port'), 'utf8')
  process.kill(before.inner!, 'SIGKILL')
  const after = await galley.said(pids => pids.inner !== undefined && pids.inner !== before.inner)
  expect(after).toMatchObject({ outer: before.outer, postgres: before.postgres })
  expect(readFileSync(join(folder, 'run/inner.port'), 'utf8')).toBe(port)
})

test('the database server that is killed comes back, and its clients stay', async () => {
  const galley = start(temporaryFolder(), 'inner')
  const before = await galley.said()
  process.kill(before.postgres!, 'SIGKILL')
  const after = await galley.said(
    pids => pids.postgres !== undefined && pids.postgres !== before.postgres,
  )
  expect(after.inner).toBe(before.inner)
})

test('a stop ends every process and leaves no socket', async () => {
  const folder = temporaryFolder()
  const galley = start(folder, 'inner', 'outer')
  const pids = await galley.said()
  galley.child.kill('SIGTERM')
  expect((await galley.ended).code).toBe(0)
  expect(Object.values(pids).filter(isAlive)).toEqual([])
  expect(readFileSync(join(folder, 'run/outer.ended'), 'utf8')).toBe('stop')
  expect(existsSync(join(folder, 'run/galley.json'))).toBe(false)
  expect(readdirSync(join(folder, 'postgres')).filter(name => name.startsWith('.s.'))).toEqual([])
})

test('every process ends when the supervisor is killed, and the next start takes over', async () => {
  const folder = temporaryFolder()
  const killed = start(folder, 'inner', 'outer')
  const pids = await killed.said()
  killed.child.kill('SIGKILL')
  await until(() => !Object.values(pids).some(isAlive))
  await start(folder, 'inner').said()
})

test('a start at once after a kill -9 waits for what is left and ends what hangs', async () => {
  const folder = temporaryFolder()
  const killed = start(folder, 'inner', 'hung')
  const { hung } = await killed.said()
  killed.child.kill('SIGKILL')
  await start(folder, 'inner').said()
  expect(isAlive(hung!)).toBe(false)
})

test('a second start on the folder is refused, naming the first, which goes on', async () => {
  const folder = temporaryFolder()
  const first = start(folder, 'inner')
  const { pid } = await first.said()
  const { code, stderr } = await start(folder, 'inner').ended
  expect(code).toBe(1)
  expect(stderr).toMatch(
    new RegExp(`already runs on .* \\(process ${pid}, http://127.0.0.1:\\d+\\)`),
  )
  expect(isAlive(pid!)).toBe(true)
})

test('a taken port is refused before anything is started', async () => {
  const folder = temporaryFolder()
  const taken = createServer().listen(0, '127.0.0.1')
  onTestFinished(() => void taken.close())
  await until(() => taken.listening)
  const { port } = taken.address() as { port: number }
  const { code, stderr } = await startProgram('galley.ts', folder, String(port)).ended
  expect(code).toBe(1)
  expect(stderr).toContain(`Port ${port} on 127.0.0.1 is taken`)
  expect(existsSync(join(folder, 'postgres'))).toBe(false)
})

test('a place that cannot start ends the start with its last lines', async () => {
  const { code, stderr } = await start(temporaryFolder(), 'inner', 'broken').ended
  expect(code).toBe(1)
  expect(stderr).toContain('broken ended with exit code 3')
  expect(stderr).toContain('there is no bread')
})
