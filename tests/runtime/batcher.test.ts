import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AppError } from '#core/error.ts'
import type { Tensor } from '#core/inference/tensor.ts'
import { type BatchMetrics, createBatcher } from '#gpu-runners/batcher/batcher.ts'
import { runRows } from '#gpu-runners/batcher/rows.ts'
import { shares } from '#gpu-runners/batcher/shares.ts'
import { EngineCrash, type LoadedModel } from '#gpu-runners/engines/engine.ts'
import type { Batching, Signature } from '#schemas/signature.ts'

const FAILS = 666
const CRASHES = 667

function signatureOf(batching: Batching = 'invariant'): Signature {
  return {
    batching,
    inputs: [
      { name: 'x', datatype: 'FP32', shape: [-1, -1], batch_axis: 0 },
      { name: 'state', datatype: 'FP64', shape: [2, -1, 2], batch_axis: 1 },
      { name: 'k', datatype: 'INT64', shape: [], batch_axis: null },
    ],
    outputs: [
      { name: 'y', datatype: 'FP32', shape: [-1, -1], batch_axis: 0 },
      { name: 'next', datatype: 'FP64', shape: [2, -1, 2], batch_axis: 1 },
      { name: 'text', datatype: 'BYTES', shape: [-1], batch_axis: 0 },
      { name: 'k', datatype: 'INT64', shape: [], batch_axis: null },
    ],
  }
}

/** y = x·k, next = state + the row's sum, text = the row's first value; row by row, nothing shared. */
function compute(inputs: readonly Tensor[], names: readonly string[]): Tensor[] {
  const [x, state, k] = inputs as [Tensor, Tensor, Tensor]
  const [rows, width] = x.shape as [number, number]
  const factor = Number(k.data[0])
  const values = x.data as Float32Array
  const rowOf = (r: number) => [...values.subarray(r * width, (r + 1) * width)]
  const next = (state.data as Float64Array).map(
    (v, i) => v + rowOf(Math.floor(i / 2) % rows).reduce((a, b) => a + b, 0),
  )
  const all: Tensor[] = [
    { name: 'y', datatype: 'FP32', shape: [rows, width], data: values.map(v => v * factor) },
    { name: 'next', datatype: 'FP64', shape: [2, rows, 2], data: next },
    {
      name: 'text',
      datatype: 'BYTES',
      shape: [rows],
      data: Array.from({ length: rows }, (_, r) => new TextEncoder().encode(`row ${rowOf(r)[0]}`)),
    },
    { name: 'k', datatype: 'INT64', shape: [], data: k.data },
  ]
  return names.map(name => all.find(t => t.name === name)!)
}

/** An engine whose model is `compute`, with rows that fail, rows that end the process, and ends by chance. */
function engine(
  options: {
    ticks?: (run: number) => number
    crashAt?: Set<number>
    signature?: Signature
    mixes?: boolean
  } = {},
) {
  const runs: { inputs: readonly Tensor[]; computeUs: number }[] = []
  let started = 0
  const model: LoadedModel = {
    digest: 'd',
    signature: options.signature ?? signatureOf(),
    async run(inputs, names) {
      const number = ++started
      for (let i = options.ticks?.(number) ?? 0; i > 0; i--) await new Promise(setImmediate)
      const values = inputs[0]!.data as Float32Array
      if (values.includes(CRASHES) || options.crashAt?.has(number)) throw new EngineCrash('gone')
      if (values.includes(FAILS)) throw new AppError('inference_failed', { public: 'bad row' })
      const computeUs = 7 + ((number * 13) % 29)
      runs.push({ inputs, computeUs })
      const outputs = compute(inputs, names)
      if (options.mixes) outputs[0] = { ...outputs[0]!, shape: [1, values.length] }
      return { outputs, computeUs }
    },
    async close() {},
  }
  return { model, runs, started: () => started }
}

function inputsOf(rows: number, width = 1, k = 1, first = 0): Tensor[] {
  return [
    {
      name: 'x',
      datatype: 'FP32',
      shape: [rows, width],
      data: new Float32Array(rows * width).map((_, i) => first + i),
    },
    {
      name: 'state',
      datatype: 'FP64',
      shape: [2, rows, 2],
      data: new Float64Array(4 * rows).map((_, i) => first + i / 8),
    },
    { name: 'k', datatype: 'INT64', shape: [], data: BigInt64Array.of(BigInt(k)) },
  ]
}
const NAMES = ['y', 'next', 'text', 'k']
const settled = async () => {
  for (let i = 0; i < 10; i++) await new Promise(setImmediate)
}
const code = (error: unknown) => (error as AppError).code
const clock = { now: () => 0 }
const open = (options: Parameters<typeof engine>[0] = {}, limits = {}) => {
  const made = engine(options)
  const metrics: BatchMetrics[] = []
  const batcher = createBatcher({
    model: made.model,
    signature: made.model.signature,
    clock,
    limits,
    onBatch: m => metrics.push(m),
  })
  const submit = (tenant: string, inputs: Tensor[], more = {}) =>
    batcher.submit({ tenant, inputs, outputs: ['y'], ...more })
  return { ...made, metrics, batcher, submit }
}

describe('batches', () => {
  test('requests that arrive together run together, without a timer', async () => {
    const { submit, runs } = open()
    const answers = await Promise.all(
      Array.from({ length: 64 }, (_, i) => submit('a', inputsOf(1, 1, 1, i))),
    )
    expect(runs.length).toBe(1)
    expect(answers.map(a => a.batchRows)).toEqual(Array(64).fill(64))
  })

  test('what is unlike never shares a run: width, outputs, and the bytes of inputs without rows', async () => {
    const { submit, runs } = open()
    await Promise.all([
      submit('a', inputsOf(1)),
      submit('a', inputsOf(1, 2)),
      submit('a', inputsOf(1, 1, 2)),
      submit('a', inputsOf(1), { outputs: ['text'] }),
      submit('a', inputsOf(1)),
    ])
    expect(runs.map(r => r.inputs[0]!.shape[0])).toEqual([2, 1, 1, 1])
  })

  test('each batch says why it was sent as it was', async () => {
    const { submit, metrics } = open({ ticks: () => 2 }, { batchRowsMax: 4, batchBytesMax: 200 })
    const all = [submit('a', inputsOf(1))]
    await new Promise(setImmediate)
    all.push(...[1, 2, 3].map(rows => submit('a', inputsOf(rows))))
    all.push(submit('a', inputsOf(2, 8)), submit('a', inputsOf(1, 8)), submit('a', inputsOf(1)))
    await Promise.all(all)
    await settled()
    expect(metrics.map(({ rows, reason }) => [rows, reason])).toEqual([
      [1, 'idle'],
      [3, 'full_rows'],
      [4, 'full_rows'],
      [2, 'full_bytes'],
      [1, 'idle'],
    ])
    const { submit: other, metrics: shapes } = open()
    await Promise.all([other('a', inputsOf(1)), other('a', inputsOf(1, 2))])
    await settled()
    expect(shapes.map(({ reason }) => reason)).toEqual(['shape', 'idle'])
    const { submit: lone, metrics: apart } = open({ signature: signatureOf('unbatched') })
    await Promise.all([lone('a', inputsOf(1)), lone('a', inputsOf(1))])
    await settled()
    expect(apart.map(({ rows, reason }) => [rows, reason])).toEqual([
      [1, 'alone'],
      [1, 'alone'],
    ])
  })

  test('a batch says how many tenants share it', async () => {
    const { submit, metrics } = open()
    await Promise.all(['a', 'b', 'a', 'c'].map(tenant => submit(tenant, inputsOf(1))))
    await settled()
    expect(metrics).toMatchObject([{ requests: 4, tenants: 3 }])
  })

  test('who was refused, late or gone is counted at once, and with the next batch', async () => {
    const time = { ms: 0, now: () => time.ms }
    const { model } = engine({ ticks: () => 3 })
    const metrics: BatchMetrics[] = []
    const gone: string[] = []
    const batcher = createBatcher({
      model,
      signature: model.signature,
      clock: time,
      limits: { queueRowsMax: 10 },
      onBatch: m => metrics.push(m),
      onGone: why => gone.push(why),
    })
    const submit = (rows: number, more = {}) =>
      batcher.submit({ tenant: 'a', inputs: inputsOf(rows), outputs: ['y'], ...more }).catch(code)
    const all = [submit(1)]
    await new Promise(setImmediate)
    all.push(submit(1, { deadlineMs: 9 }), submit(1, { signal: { aborted: true } }), submit(9))
    time.ms = 9
    await Promise.all(all)
    expect(gone.toSorted()).toEqual(['late', 'left', 'refused'])
    await submit(1)
    await settled()
    expect(metrics.at(-1)).toMatchObject({ requests: 1, refused: 1, late: 1, left: 1 })
  })

  test('one bad row among 64 fails alone', async () => {
    const { submit } = open()
    const results = await Promise.allSettled(
      Array.from({ length: 64 }, (_, i) => submit('a', inputsOf(1, 1, 1, i === 40 ? FAILS : i))),
    )
    expect(results.flatMap((r, i) => (r.status === 'rejected' ? [i] : []))).toEqual([40])
  })

  test('a row that ends the engine twice alone is blamed; one hit by chance is not', async () => {
    const { submit } = open({ crashAt: new Set([1]) })
    const lone = await submit('a', inputsOf(1))
    expect(lone.outputs[0]!.data).toEqual(Float32Array.of(0))
    const error = await submit('a', inputsOf(1, 1, 1, CRASHES)).catch(e => e)
    expect([error.code, error.retryable, error.public]).toEqual([
      'inference_failed',
      false,
      expect.stringContaining('twice'),
    ])
  })

  test("a fault that is no input's reaches every caller as it is, without dividing the batch", async () => {
    const { model } = engine()
    const gone = {
      ...model,
      run: async () => {
        throw new AppError('unavailable', { retryable: true })
      },
    }
    const metrics: BatchMetrics[] = []
    const batcher = createBatcher({
      model: gone,
      signature: model.signature,
      clock,
      onBatch: m => metrics.push(m),
    })
    const results = await Promise.allSettled(
      [1, 2, 3].map(i => batcher.submit({ tenant: 'a', inputs: inputsOf(i), outputs: ['y'] })),
    )
    expect(results.map(r => code((r as PromiseRejectedResult).reason))).toEqual(
      Array(3).fill('unavailable'),
    )
    await new Promise(setImmediate)
    expect(metrics).toMatchObject([{ runs: 1, failed: 3, requests: 3 }])
  })

  test("a model whose outputs cannot be told apart is run alone from then on, and nobody gets another's rows", async () => {
    const { submit, batcher, runs } = open({ mixes: true })
    const answers = await Promise.all([
      submit('a', inputsOf(2, 1, 1, 5)),
      submit('b', inputsOf(1, 1, 1, 9)),
    ])
    expect(answers.map(a => [...(a.outputs[0]!.data as Float32Array)])).toEqual([[5, 6], [9]])
    expect([batcher.batched, runs.length]).toEqual([false, 3])
  })

  test('a request larger than a batch is split, and put together again unless its model mixes rows', async () => {
    const fine = open({}, { batchRowsMax: 4 })
    const whole = await fine.submit('a', inputsOf(11, 2), { outputs: NAMES })
    expect(whole.outputs).toEqual(compute(inputsOf(11, 2), NAMES))
    expect(fine.runs.map(r => r.inputs[0]!.shape[0])).toEqual([4, 4, 3])
    const mixed = open({ mixes: true }, { batchRowsMax: 4 })
    expect((await mixed.submit('a', inputsOf(11))).outputs[0]!.shape).toEqual([1, 11])
  })
})

describe('waiting', () => {
  test('a flooding tenant does not delay another beyond its share of rows', async () => {
    const { submit, runs } = open({}, { batchRowsMax: 8 })
    const order: string[] = []
    const all = Array.from({ length: 100 }, () =>
      submit('flood', inputsOf(4)).then(() => order.push('flood')),
    )
    for (let i = 0; i < 5; i++)
      all.push(submit('small', inputsOf(1)).then(() => order.push('small')))
    await Promise.all(all)
    expect(order.lastIndexOf('small')).toBeLessThan(10)
    expect(runs.length).toBeLessThan(55)
  })

  test('callers that left or are late are dropped before compute', async () => {
    const time = { ms: 0, now: () => time.ms }
    const { model, runs } = engine({ ticks: () => 3 })
    const batcher = createBatcher({ model, signature: model.signature, clock: time })
    const submit = (more = {}) =>
      batcher.submit({ tenant: 'a', inputs: inputsOf(1), outputs: ['y'], ...more }).catch(code)
    const first = submit()
    await new Promise(setImmediate)
    const controller = new AbortController()
    const others = [
      submit({ signal: controller.signal }),
      submit({ deadlineMs: 10 }),
      submit({ deadlineMs: 11 }),
    ]
    controller.abort()
    time.ms = 10
    expect(await Promise.all(others)).toEqual(['canceled', 'deadline_exceeded', expect.anything()])
    await first
    expect(runs.map(r => r.inputs[0]!.shape[0])).toEqual([1, 1])
  })

  test('past its bound the queue refuses with the time to come back, but makes room of those who left', async () => {
    const { submit, batcher } = open({ ticks: () => 5 }, { queueRowsMax: 10 })
    const first = submit('a', inputsOf(1))
    await new Promise(setImmediate)
    const controller = new AbortController()
    const waiting = submit('a', inputsOf(9), { signal: controller.signal }).catch(code)
    const refused = await submit('b', inputsOf(2)).catch(e => e)
    expect([refused.code, refused.retryable, refused.retryAfterS]).toEqual(['overloaded', true, 1])
    controller.abort()
    await expect(submit('b', inputsOf(2))).resolves.toMatchObject({ rows: 2 })
    expect(await waiting).toBe('canceled')
    await first
    expect(batcher.queuedRows).toBe(0)
  })
})

test('shares are integers in proportion and add up exactly', () => {
  fc.assert(
    fc.property(fc.nat(1e9), fc.array(fc.nat(1000), { minLength: 1 }), (total, weights) => {
      const parts = shares(total, weights)
      expect(parts.reduce((a, b) => a + b, 0)).toBe(total)
      const sum = weights.reduce((a, b) => a + b, 0)
      if (sum === 0) return
      for (const [i, part] of parts.entries()) {
        expect(Math.abs(part - (total * weights[i]!) / sum)).toBeLessThan(1)
      }
    }),
  )
})

describe('many rows of one owner', () => {
  test('bad rows are named and all others come out, in order', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 40 }),
        fc.uniqueArray(fc.nat(39)),
        fc.constantFrom<Batching>('invariant', 'unbatched'),
        async (count, bad, batching) => {
          const inputs = inputsOf(count)
          for (const row of bad)
            if (row < count) (inputs[0]!.data as Float32Array)[row] = row % 2 ? FAILS : CRASHES
          const { model } = engine({ signature: signatureOf(batching) })
          const { blocks, failures } = await runRows(model, inputs, ['y'])
          const rows = blocks.flatMap(b =>
            Array.from({ length: b.to - b.from }, (_, i) => b.from + i),
          )
          expect(failures.map(f => f.row).sort((a, b) => a - b)).toEqual(
            bad.filter(r => r < count).sort((a, b) => a - b),
          )
          expect(rows).toEqual(
            Array.from({ length: count }, (_, r) => r).filter(r => !bad.includes(r)),
          )
          for (const b of blocks)
            expect(b.outputs[0]!.data).toEqual(
              (inputs[0]!.data as Float32Array).subarray(b.from, b.to),
            )
        },
      ),
    )
  })
})
