/** The registry in the running product: uploads, verdicts, versions, aliases, and flips under load. */
import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, test } from 'vitest'
import { Graph, model as onnx, tensor } from '#core/models/onnx/build.ts'
import * as models from '#tests/models.ts'
import {
  named,
  newTenant,
  ok,
  type Problem,
  publish,
  publishing,
  refused,
  sha256Of,
  startJob,
  type Tenant,
  upload,
} from './actions.ts'
import { api, product } from './product.ts'

let tenant: Tenant
let key = ''
beforeAll(async () => {
  tenant = await newTenant()
  key = tenant.key
})

type Upload = {
  id: string
  state: string
  parts: { number: number; size: number; sha256: string }[]
  part_bytes_max: number
}
const begin = (sha256: string, size: number) =>
  ok<Upload>('POST', '/v1/uploads', { sha256, size }, { key }, 201)
const put = (id: string, number: number, bytes: Uint8Array, headers = {}) =>
  ok('PUT', `/v1/uploads/${id}/parts/${number}`, bytes, { key, headers })

/** Adds a constant: the version that answered shows in its answer. */
function addConstant(value: number): Uint8Array {
  return models.unary(['batch', 4], ['batch', 4], graph => {
    graph.initializer('c', tensor('FP32', [1], [value]))
    graph.node('Add', ['x', 'c'], {}, { outputs: ['y'] })
  })
}
const X = { inputs: [{ name: 'x', shape: [1, 4], datatype: 'FP32', data: [0, 0, 0, 0] }] }
type Reply = { model_version: string; outputs: { data: number[] }[] }

describe('hardware', () => {
  test('a version that asks for a class is refused by the classes that there are, and served on its own', async () => {
    const wrong = await publishing('classy', addConstant(1), { key, manifest: { hardware: 'tpu' } })
    expect(wrong.status).toBe(422)
    expect(wrong.body.detail).toMatch(/asks for hardware "tpu".*runner-0 is cpu/)
    const { version, tuning } = await publish('classy', addConstant(1), {
      key,
      manifest: { hardware: 'cpu' },
    })
    expect(tuning).toMatchObject({ hardware: 'cpu', threads: expect.any(Number) })
    const answered = await ok<Reply>('POST', '/v2/models/classy/infer', X, { key })
    expect(answered).toMatchObject({
      model_version: String(version),
      outputs: [{ data: [1, 1, 1, 1] }],
    })
  })
})

describe('uploads', () => {
  const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 31 + (i >> 8)) & 255))
  const parts = [0, 1, 2].map(i => bytes.subarray(i * 100_000, (i + 1) * 100_000))

  test('parts in any order, some twice, one after an interruption, make the file that was declared', async () => {
    const { id } = await begin(sha256Of(bytes), bytes.length)
    await put(id, 3, parts[2]!)
    await put(id, 1, Buffer.alloc(5))
    await put(id, 1, parts[0]!)
    const { state, parts: there } = await ok<Upload>('GET', `/v1/uploads/${id}`, undefined, { key })
    expect(state).toBe('open')
    expect(there).toEqual([
      { number: 1, size: 100_000, sha256: sha256Of(parts[0]!) },
      { number: 3, size: 100_000, sha256: sha256Of(parts[2]!) },
    ])
    const early = await refused('POST', `/v1/uploads/${id}/complete`, {}, 409, 'conflict', { key })
    expect(early.detail).toContain('2')
    await put(id, 2, parts[1]!, { 'galley-sha256': sha256Of(parts[1]!) })
    for (let turn = 0; turn < 2; turn++) {
      const done = await ok<Upload>('POST', `/v1/uploads/${id}/complete`, {}, { key })
      expect(done.state).toBe('complete')
    }
    await refused('PUT', `/v1/uploads/${id}/parts/1`, parts[0], 409, 'conflict', { key })
  })

  test('a file that the tenant has already is complete at once; another tenant’s is not', async () => {
    const own = Buffer.from(named('own file'))
    await upload(own, key)
    expect((await begin(sha256Of(own), own.length)).state).toBe('complete')
    const other = await newTenant()
    const theirs = await ok<Upload>(
      'POST',
      '/v1/uploads',
      { sha256: sha256Of(own), size: own.length },
      { key: other.key },
      201,
    )
    expect(theirs.state).toBe('open')
  })

  test('bytes of another digest than declared are 422, for a part and for the whole', async () => {
    const { id } = await begin('3'.repeat(64), 100)
    const headers = { 'galley-sha256': '4'.repeat(64) }
    await refused('PUT', `/v1/uploads/${id}/parts/1`, Buffer.alloc(100), 422, 'digest_mismatch', {
      key,
      headers,
    })
    await put(id, 1, Buffer.alloc(100))
    await refused('POST', `/v1/uploads/${id}/complete`, {}, 422, 'digest_mismatch', { key })
    expect((await ok<Upload>('GET', `/v1/uploads/${id}`, undefined, { key })).state).toBe('open')
  })

  test('a part number that is none is refused', async () => {
    const { id } = await begin('5'.repeat(64), 100)
    for (const number of ['0', '10001', '-1', '1.5', 'one']) {
      await refused(
        'PUT',
        `/v1/uploads/${id}/parts/${number}`,
        Buffer.alloc(1),
        400,
        'invalid_request',
        { key },
      )
    }
  })
})

describe('a file that cannot be served is 422 and says what is wrong', () => {
  const whole = models.addSub()
  const unknownOp = () =>
    models.unary(
      ['batch', 4],
      ['batch', 4],
      graph => void graph.node('Frobnicate', ['x'], {}, { outputs: ['y'] }),
    )
  const customOp = () =>
    models.unary(
      ['batch', 4],
      ['batch', 4],
      graph => void graph.node('Relu', ['x'], {}, { outputs: ['y'], domain: 'com.example' }),
    )
  function future() {
    const graph = new Graph('future')
    graph.output(graph.node('Relu', [graph.input('x', 'FP32', ['batch', 4])]), 'FP32', ['batch', 4])
    return onnx(graph, { opsets: { '': 999 } })
  }
  test.each<[string, () => Uint8Array, RegExp]>([
    ['truncated', () => whole.subarray(0, whole.length - 20), /truncat|ends|incomplete|cut/i],
    ['not ONNX at all', () => Buffer.from('just some text, no model'), /onnx/i],
    ['an unknown operator', unknownOp, /Frobnicate/],
    ['an operator of another domain', customOp, /com\.example/],
    ['an opset of the future', future, /999/],
    [
      'external data that is not there',
      () => models.externalWeight({ location: 'weights.bin', offset: '0', length: '16' }),
      /weights\.bin/,
    ],
    [
      'external data outside its folder',
      () => models.externalWeight({ location: '../../etc/passwd' }),
      /passwd/,
    ],
    ['a bomb of functions', () => models.functionBomb(40), /node|function|large|many/i],
    ['branches nested too deep', () => models.nested(80), /deep|nest/i],
    ['a sequence as input', models.sequenceInput, /sequence/i],
    ['an element type that is not served', () => models.elementTypeInput(14), /complex|type/i],
    ['a model that asks for too much memory', () => models.hungry(4e9), /memory/i],
  ])('%s', async (_, graph, reason) => {
    const model = named('invalid')
    const { status, body } = await publishing(model, graph(), { key })
    expect([status, body.code]).toEqual([422, 'invalid_model'])
    expect(body.detail).toMatch(reason)
    await refused('GET', `/v2/models/${model}/ready`, undefined, 404, 'not_found', { key })
    const shown = await ok<{ state: string; error: string }>(
      'GET',
      `/v1/registry/models/${model}/versions/1`,
      undefined,
      { key },
    )
    expect(shown.state).toBe('invalid')
    expect(body.detail).toContain(shown.error)
  })

  test('a manifest that does not fit what is uploaded is 422 with a pointer', async () => {
    const file = { path: 'm.onnx', sha256: await upload(whole, key), size: whole.length }
    const publishFiles = (body: object) =>
      api<Problem>('POST', `/v1/registry/models/${named('bad')}/versions`, body, { key })
    const cases: [object, string][] = [
      [{ files: [{ ...file, size: file.size + 1 }] }, '/files/0'],
      [{ files: [{ ...file, sha256: '6'.repeat(64) }] }, '/files/0'],
      [{ files: [file, file] }, '/files/1'],
      [{ files: [file], graph: 'other.onnx' }, '/graph'],
      [{ files: [{ ...file, path: '../m.onnx' }] }, '/files/0/path'],
      [{ files: [] }, '/files'],
    ]
    for (const [body, pointer] of cases) {
      const { status, body: problem } = await publishFiles(body)
      expect([status, problem.code]).toEqual([422, 'invalid_body'])
      expect(problem.errors?.map(error => error.pointer)).toContain(pointer)
    }
  })
})

describe('versions and aliases', () => {
  test('versions are numbered 1, 2, 3; the same manifest again is the same version', async () => {
    const model = named('numbered')
    const first = await publish(model, addConstant(1), { key })
    const second = await publish(model, addConstant(2), { key })
    const again = await publish(model, addConstant(1), { key })
    expect([first.version, second.version, again.version]).toEqual([1, 2, 1])
    expect(again.digest).toBe(first.digest)
    const { data } = await ok<{ data: { version: number }[] }>(
      'GET',
      `/v1/registry/models/${model}/versions`,
      undefined,
      { key },
    )
    expect(data.map(one => one.version)).toEqual([2, 1])
  })

  test('many that publish one model at once get versions of their own, without a gap', async () => {
    const model = named('crowded')
    const made = await Promise.all(
      [1, 2, 3, 4, 5].map(value => publish(model, addConstant(value), { key })),
    )
    expect(made.map(one => one.version).sort()).toEqual([1, 2, 3, 4, 5])
  })

  test('without a version the champion answers, or the newest where there is none; an alias answers by its name', async () => {
    const model = named('aliased')
    await publish(model, addConstant(1), { key })
    await publish(model, addConstant(2), { key })
    const asked = async (path: string) =>
      (await ok<Reply>('POST', `/v2/models/${model}${path}/infer`, X, { key })).outputs[0]!.data[0]
    expect(await asked('')).toBe(2)
    for (const alias of ['champion', 'canary'])
      await ok('PUT', `/v1/registry/models/${model}/aliases/${alias}`, { version: 1 }, { key })
    expect([await asked(''), await asked('/versions/canary'), await asked('/versions/2')]).toEqual([
      1, 1, 2,
    ])
    await ok('DELETE', `/v1/registry/models/${model}/aliases/champion`, undefined, { key })
    expect(await asked('')).toBe(2)
    await refused(
      'DELETE',
      `/v1/registry/models/${model}/aliases/champion`,
      undefined,
      404,
      'not_found',
      { key },
    )
  })

  test('an alias points at a ready version only', async () => {
    const model = named('strict')
    await publish(model, addConstant(1), { key })
    await publishing(model, Buffer.from('not a model'), { key })
    const point = (version: number, status: number, code: string) =>
      refused('PUT', `/v1/registry/models/${model}/aliases/champion`, { version }, status, code, {
        key,
      })
    await point(2, 409, 'conflict')
    await point(9, 404, 'not_found')
    await point(1.5, 422, 'invalid_body')
  })

  test('while the champion flips back and forth under load, every reply is whole and names the version that made it', async () => {
    const model = named('flip')
    const { url } = await product()
    const versions = [
      await publish(model, addConstant(1), { key }),
      await publish(model, addConstant(2), { key }),
    ]
    const point = (version: number) =>
      ok('PUT', `/v1/registry/models/${model}/aliases/champion`, { version }, { key })
    await point(1)
    let done = false
    const seen = new Map<string, number>()
    const callers = Array.from({ length: 8 }, async () => {
      while (!done) {
        const response = await fetch(`${url}/v2/models/${model}/infer`, {
          method: 'POST',
          headers: { authorization: `Bearer ${key}` },
          body: JSON.stringify(X),
        })
        const reply = (await response.json()) as Reply
        expect([response.status, reply]).toEqual([200, expect.anything()])
        const { digest } = versions[Number(reply.model_version) - 1]!
        expect(response.headers.get('galley-model-digest')).toBe(digest)
        expect(reply.outputs[0]!.data).toEqual(Array(4).fill(Number(reply.model_version)))
        seen.set(reply.model_version, (seen.get(reply.model_version) ?? 0) + 1)
      }
    })
    for (let flip = 0; flip < 20; flip++) {
      const version = (flip % 2) + 1
      await point(version)
      const after = await ok<Reply>('POST', `/v2/models/${model}/infer`, X, { key })
      expect(after.model_version).toBe(String(version))
    }
    done = true
    await Promise.all(callers)
    expect([...seen.keys()].sort()).toEqual(['1', '2'])
  })

  test('a version in use by an alias or a job that runs cannot be deleted; afterwards it can, once', async () => {
    const model = named('used')
    await publish(model, models.slow(200_000), { key })
    const path = `/v1/registry/models/${model}/versions/1`
    await ok('PUT', `/v1/registry/models/${model}/aliases/champion`, { version: 1 }, { key })
    const byAlias = await refused('DELETE', path, undefined, 409, 'in_use', { key })
    expect(byAlias.detail).toContain('champion')
    const rows = Array.from({ length: 200 }, () => '{"x":[1,2,3,4]}\n').join('')
    const job = await startJob(model, Buffer.from(rows), { key })
    await ok('DELETE', `/v1/registry/models/${model}/aliases/champion`, undefined, { key })
    await refused('DELETE', path, undefined, 409, 'in_use', { key })
    await ok('POST', `/v1/jobs/${job.id}/cancel`, undefined, { key })
    await ok('DELETE', path, undefined, { key })
    await refused('DELETE', path, undefined, 404, 'not_found', { key })
    await refused('POST', `/v2/models/${model}/infer`, X, 404, 'not_found', { key })
  })

  test('the audit log names who published, pointed and deleted', async () => {
    const own = await newTenant()
    const model = named('audited')
    await publish(model, addConstant(1), { key: own.key })
    await ok(
      'PUT',
      `/v1/registry/models/${model}/aliases/champion`,
      { version: 1 },
      { key: own.key },
    )
    await ok('DELETE', `/v1/registry/models/${model}/aliases/champion`, undefined, { key: own.key })
    await ok('DELETE', `/v1/registry/models/${model}/versions/1`, undefined, { key: own.key })
    const { data } = await ok<{ data: { action: string; actor: string }[] }>(
      'GET',
      '/v1/audit',
      undefined,
      { key: own.key },
    )
    expect(data.map(line => line.action)).toEqual([
      'models.delete',
      'models.unalias',
      'models.alias',
      'models.publish',
    ])
    expect(new Set(data.map(line => line.actor))).toEqual(new Set([own.keyId]))
  })
})

test('a model whose weights stand in a file beside it is served', async () => {
  const weights = Buffer.from(Float32Array.of(1, 0, 0, 1).buffer)
  const graph = models.externalWeight({ location: 'weights.bin', offset: '0', length: '16' })
  const model = named('external')
  await publish(model, graph, { key, beside: { 'weights.bin': weights } })
  const body = { inputs: [{ name: 'x', shape: [1, 2], datatype: 'FP32', data: [3, 4] }] }
  const reply = await ok<Reply>('POST', `/v2/models/${model}/infer`, body, { key })
  expect(reply.outputs[0]!.data).toEqual([3, 4])
})

test('the example that ships is what the first start published', async () => {
  const bytes = readFileSync(new URL('../../examples/iris/iris.onnx', import.meta.url))
  const { manifest } = await ok<{ manifest: { files: { sha256: string }[] } }>(
    'GET',
    '/v1/registry/models/iris/versions/champion',
  )
  expect(manifest.files[0]!.sha256).toBe(sha256Of(bytes))
})
