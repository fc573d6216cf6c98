/** The child that opens strangers' models: held to its limits, without rights, and never left behind. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { AppError } from '#core/error.ts'
import { type ValidationLimits, validateModel } from '#gpu-runners/validate/validate.ts'
import * as models from '#tests/models.ts'

const log = { info() {}, error() {} }
const folder = mkdtempSync(join(tmpdir(), 'galley-test-'))
afterAll(() => rmSync(folder, { recursive: true }))
const FOREVER = 1e9
const WAIT = { timeout: 20_000, interval: 20 }

function put(bytes: Uint8Array): string {
  const path = join(folder, `${readdirSync(folder).length}.onnx`)
  writeFileSync(path, bytes)
  return path
}

function validate(bytes: Uint8Array, limits: Partial<ValidationLimits> = {}, signal?: AbortSignal) {
  const files = [{ path: 'm.onnx', localPath: put(bytes), sha256: '', size: bytes.length }]
  return validateModel({ log }, { graph: 'm.onnx', files, limits }, signal)
}

/** Processes of `child.ts` that descend from this test, by their working folders' name. */
function children(pid: number = process.pid): number[] {
  return readdirSync('/proc').flatMap(name => {
    const id = Number(name)
    if (!id) return []
    try {
      const isChild = readFileSync(`/proc/${id}/cmdline`, 'latin1').includes(
        `galley-validate-${pid}-`,
      )
      return isChild ? [id] : []
    } catch {
      return []
    }
  })
}

async function inTrial(pid?: number): Promise<number> {
  const busy = await vi.waitFor(() => {
    const found = children(pid).find(id => cpuTicks(id) > 60)
    expect(found).toBeDefined()
    return found!
  }, WAIT)
  return busy
}

/** A child that has computed for so long is inside the model. */
function cpuTicks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ')
  return Number(fields?.[11] ?? 0)
}

const folders = (pid: number = process.pid) =>
  readdirSync(tmpdir()).filter(name => name.startsWith(`galley-validate-${pid}-`))

describe('a model that takes too much is stopped and told so', () => {
  test('time', async () => {
    expect(await validate(models.slow(FOREVER), { wallMs: 3_000 })).toEqual({
      ok: false,
      code: 'invalid_model',
      detail: "The model took more than 3 s in its trial run with 'x' [1, 4].",
    })
  })

  test('memory', async () => {
    const verdict = await validate(models.hungry(2 ** 24, 1_000), { memoryBytes: 2 ** 20 })
    expect(verdict.ok || verdict.detail).toMatch(
      /(used|needed) more than the 1 MiB of memory that it may use/,
    )
  })
})

describe.skipIf(process.platform !== 'linux')('the child', () => {
  test('killed by somebody else, is no verdict on the model and may be tried again', async () => {
    const verdict = validate(models.slow(FOREVER))
    const settled = verdict.catch(error => error)
    process.kill(await inTrial(), 'SIGKILL')
    expect(await settled).toMatchObject({ code: 'unavailable', retryable: true })
    await expect(verdict).rejects.toBeInstanceOf(AppError)
  })

  test('that crashes in the runtime is the model’s fault', async () => {
    const verdict = validate(models.slow(FOREVER))
    process.kill(await inTrial(), 'SIGSEGV')
    expect(await verdict).toMatchObject({
      ok: false,
      detail: expect.stringContaining('crashed the runtime (SIGSEGV) in its trial run'),
    })
  })

  test('ends when the caller gives up', async () => {
    const leaving = new AbortController()
    const verdict = validate(models.slow(FOREVER), {}, leaving.signal)
    const settled = verdict.catch(error => error)
    await inTrial()
    leaving.abort()
    expect(await settled).toMatchObject({ code: 'canceled' })
    await vi.waitFor(() => expect(children()).toEqual([]), WAIT)
  })

  test('ends when its parent is killed, inside a native call, and its folder is swept', async () => {
    const path = put(models.slow(FOREVER))
    const parent = spawn(process.execPath, ['--input-type=module', '-e', parentCode(path)], {
      stdio: 'ignore',
    })
    await inTrial(parent.pid!)
    const gone = once(parent, 'exit')
    parent.kill('SIGKILL')
    // Until it has been waited for, its number still counts as a living process.
    await gone
    await vi.waitFor(() => expect(children(parent.pid!)).toEqual([]), WAIT)
    await validate(models.addSub())
    expect(folders(parent.pid!)).toEqual([])
  })

  test('has none of its parent’s environment, and no rights', async () => {
    process.env.GALLEY_TEST_SECRET = 'hush'
    const verdict = validate(models.slow(FOREVER), { wallMs: 4_000 })
    const child = await inTrial()
    delete process.env.GALLEY_TEST_SECRET
    const status = readFileSync(`/proc/${child}/status`, 'latin1')
    if (process.getuid?.() === 0) {
      expect(status).toMatch(/Uid:\s+65534\s+65534/)
      expect(status).toMatch(/CapEff:\s+0000000000000000/)
    }
    expect(readFileSync(`/proc/${child}/environ`, 'latin1')).not.toContain('hush')
    expect(readFileSync(`/proc/${child}/limits`, 'latin1')).toMatch(/Max file size\s+0\s/)
    await verdict
  })
})

test('a model that only its owner can read is validated all the same', async () => {
  const bytes = models.addSub()
  const path = put(bytes)
  chmodSync(path, 0o600)
  const files = [{ path: 'm.onnx', localPath: path, sha256: '', size: bytes.length }]
  expect(await validateModel({ log }, { graph: 'm.onnx', files })).toMatchObject({ ok: true })
})

test('nothing is left behind', async () => {
  await validate(models.addSub())
  await validate(models.nested(40))
  expect(folders()).toEqual([])
})

function parentCode(path: string): string {
  const module = new URL('../../gpu-runners/validate/validate.ts', import.meta.url).href
  const size = readFileSync(path).length
  const input = { graph: 'm.onnx', files: [{ path: 'm.onnx', localPath: path, sha256: '', size }] }
  return `
    const { validateModel } = await import(${JSON.stringify(module)})
    await validateModel({ log: { info() {}, error() {} } }, ${JSON.stringify(input)})
  `
}
