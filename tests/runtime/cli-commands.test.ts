import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { folder, galley, peerOf } from './cli-run.ts'

describe('predict', () => {
  const metadata = {
    name: 'm',
    versions: ['1'],
    platform: 'onnx_onnxv1',
    inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 2] }],
  }
  const reply = {
    model_name: 'm',
    model_version: '1',
    outputs: [
      { name: 'label', datatype: 'INT64', shape: [2], data: [0, 1] },
      { name: 'score', datatype: 'FP32', shape: [2, 2], data: [0.25, 0.75, 1, 1e-9] },
    ],
  }
  const served = (inputs: unknown[] = metadata.inputs) =>
    peerOf(({ method }) => ({ json: method === 'GET' ? { ...metadata, inputs } : reply }))
  const tensor = (shape: number[], data: unknown) => ({ name: 'x', datatype: 'FP32', shape, data })

  test.each([
    [['1,2'], tensor([1, 2], [[1, 2]])],
    [['x=1,2'], tensor([1, 2], [[1, 2]])],
    [
      ['[[1,2],[3,4]]'],
      tensor(
        [2, 2],
        [
          [1, 2],
          [3, 4],
        ],
      ),
    ],
    [
      ['x=[[1,2],[3,4]]'],
      tensor(
        [2, 2],
        [
          [1, 2],
          [3, 4],
        ],
      ),
    ],
    [['{"x": [5, 6]}'], tensor([1, 2], [[5, 6]])],
    [['x=@rows.json'], tensor([1, 2], [[7, 8]])],
  ])('takes %j as a tensor of the model', async (values, expected) => {
    await writeFile(join(folder, 'rows.json'), '[[7, 8]]\n')
    const peer = await served()
    const ran = await galley(['predict', 'm', ...values], { url: peer.url })
    expect(ran).toMatchObject({ code: 0, err: '' })
    expect(JSON.parse(String(peer.asked.at(-1)!.body))).toEqual({ inputs: [expected] })
  })

  test('shows a row for each row, and with --json the reply itself', async () => {
    const peer = await served()
    const ran = await galley(['predict', 'm@champion', '[[1,2],[3,4]]'], { url: peer.url })
    expect(peer.asked.at(-1)!.path).toBe('/v2/models/m/versions/champion/infer')
    expect(ran.out.split('\n')).toEqual([
      'm@1',
      'ROW  label  score [2]',
      '  0  0      0.25  0.75',
      '  1  1      1  1e-9',
      '',
    ])
    const json = await galley(['predict', 'm', '[[1,2],[3,4]]', '--json'], { url: peer.url })
    expect(JSON.parse(json.out)).toEqual(reply)
  })

  test('sends a whole request as it is, 64-bit integers to the last digit', async () => {
    const wide = { name: 'x', datatype: 'INT64', shape: [1], data: [1] }
    const request = JSON.stringify({ inputs: [wide] }).replace('[1]}', '[9007199254740993]}')
    const peer = await served()
    await galley(['predict', 'm', '--input', '-'], { url: peer.url, input: request })
    expect(String(peer.asked[0]!.body)).toBe(request)
  })

  test('names the inputs that the model takes where the given ones do not fit', async () => {
    const two = [...metadata.inputs, { name: 'sr', datatype: 'INT64', shape: [] }]
    const peer = await served(two)
    const ran = await galley(['predict', 'm', 'x=1,2'], { url: peer.url })
    expect(ran.code).toBe(2)
    expect(ran.err).toBe(
      'galley: The input "sr" is missing; the model takes x (FP32 [?,2]), sr (INT64 []).\n',
    )
    await galley(['predict', 'm', 'x=1,2', 'sr=16000'], { url: peer.url })
    expect(JSON.parse(String(peer.asked.at(-1)!.body)).inputs[1]).toEqual({
      name: 'sr',
      datatype: 'INT64',
      shape: [],
      data: [16000],
    })
  })
})

describe('a job', () => {
  const job = {
    id: 'run_1',
    kind: 'inference',
    state: 'queued',
    model: 'm',
    version: 1,
    input: { sha256: '', size: 8, format: 'jsonl' },
    rows_total: null,
    rows_done: 0,
    rows_failed: 0,
    progress: 0,
    result: null,
    error: null,
    created_at: '2026-11-01T00:00:00.000Z',
    ended_at: null,
  }
  const upload = { id: 'upl_1', state: 'complete', part_bytes_max: 1000, parts: [] }
  const serving = (end: object) =>
    peerOf(({ method, path }) => {
      if (path.startsWith('/v1/uploads')) return { json: upload }
      if (path.endsWith('/results')) return { body: '{"y":1}\n', headers: { etag: '"r"' } }
      return { json: method === 'POST' ? job : { ...job, ...end } }
    })
  const done = {
    state: 'done',
    rows_total: 1,
    rows_done: 1,
    progress: 1,
    result: { size: 8, url: '' },
  }

  test('is made from a local file, waited for with a bar on the terminal, and saved', async () => {
    const peer = await serving(done)
    await writeFile(join(folder, 'rows.jsonl'), '{"x":1}\n')
    const args = ['jobs', 'create', 'm@2', 'rows.jsonl', '--output', 'out.jsonl']
    const ran = await galley(args, { url: peer.url, tty: true })
    expect(ran.code).toBe(0)
    expect(ran.err).toContain('100 %  1 of 1 rows')
    expect(ran.err.endsWith('\u001b[2K')).toBe(true)
    expect(await readFile(join(folder, 'out.jsonl'), 'utf8')).toBe('{"y":1}\n')
    const asked = peer.asked.find(({ path }) => path === '/v1/jobs')!
    expect(JSON.parse(String(asked.body))).toMatchObject({ model: 'm', version: 2 })
  })

  test('that fails ends the waiting command with 1 and its reason, the job still on stdout', async () => {
    const error = { code: 'invalid_input', detail: 'No row fits.' }
    const peer = await serving({ state: 'failed', error })
    const ran = await galley(['jobs', 'wait', 'run_1', '--json'], { url: peer.url })
    expect(ran.code).toBe(1)
    expect(JSON.parse(ran.out).state).toBe('failed')
    expect(ran.err).toBe('galley: The job has failed: No row fits. (invalid_input)\n')
  })

  test('gives its result on stdout and nothing else', async () => {
    const peer = await serving(done)
    const ran = await galley(['jobs', 'results', 'run_1'], { url: peer.url })
    expect(ran).toEqual({ code: 0, out: '{"y":1}\n', err: '' })
  })
})

test('publishing sends the files, what the flags say of them, and the alias', async () => {
  const version = {
    model: 'vad',
    version: 3,
    digest: 'd',
    state: 'ready',
    aliases: [],
    manifest: {},
    signature: null,
    report: null,
    error: null,
    created_at: '2026-11-01T00:00:00Z',
    ready_at: null,
  }
  const peer = await peerOf(({ path }) => ({
    json: path.startsWith('/v1/uploads')
      ? { id: 'upl_1', state: 'complete', part_bytes_max: 1000, parts: [] }
      : version,
  }))
  await writeFile(join(folder, 'vad.onnx'), 'graph')
  await writeFile(join(folder, 'w.bin'), 'weights')
  const args = ['vad.onnx', 'weights/w.bin=w.bin', '--graph', 'vad.onnx', '--batch-axis', 'state=1']
  const more = [
    '--batch-axis',
    'sr=none',
    '--trial-shape',
    'x=1,512',
    '--alias',
    'champion',
    '--json',
  ]
  const ran = await galley(['models', 'publish', 'vad', ...args, ...more], { url: peer.url })
  expect(ran.err).toBe('')
  expect(JSON.parse(ran.out)).toMatchObject({ version: 3, aliases: ['champion'] })
  const published = peer.asked.find(({ path }) => path.endsWith('/versions'))!
  expect(JSON.parse(String(published.body))).toMatchObject({
    graph: 'vad.onnx',
    batch_axes: { state: 1, sr: null },
    trial_shapes: { x: [1, 512] },
    files: [
      { path: 'vad.onnx', size: 5 },
      { path: 'weights/w.bin', size: 7 },
    ],
  })
  expect(peer.asked.at(-1)).toMatchObject({
    method: 'PUT',
    path: '/v1/registry/models/vad/aliases/champion',
  })
})
