/** The response cache: what counts as the same question, whose answers are whose, and what a hit is billed as. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { InferenceCall } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { canonicalBytes } from '#core/inference/canonical.ts'
import { decodeRequest } from '#core/inference/oip.ts'
import { bytesOf, type Tensor } from '#core/inference/tensor.ts'
import type { Receipt, ReceiptContext } from '#core/usage/receipt.ts'
import { cachedRouter } from '#edge/response-cache/cached-router.ts'
import { KeptAnswers } from '#edge/response-cache/kept-answers.ts'
import { Registry } from '#platform/metrics/registry.ts'
import { newId, type TenantId } from '#schemas/ids.ts'
import { handClock } from '#tests/caller.ts'
import {
  answer,
  bodyOf,
  callFor,
  inputs,
  type Question,
  questions,
  servable,
  signature,
} from './asking.ts'

const CACHE = { ttl_s: 60, bytes_max: 1_000_000 }
const QUESTION: Question = {
  inputs: fc.sample(inputs, { numRuns: 1, seed: 1 })[0]!,
  outputs: [],
  form: 'json',
  outputForm: 'json',
}

/** Tensors bit by bit, by other means than those of the product. */
function written({ inputs, outputs }: Pick<Question, 'inputs' | 'outputs'>): string {
  const all = outputs.length === 0 ? ['x', 's', 'n'] : outputs
  const tensors = inputs.map(({ shape, data }) => [
    shape,
    Array.isArray(data)
      ? data.map(each => Buffer.from(each).toString('hex'))
      : Buffer.from(bytesOf(data)).toString('hex'),
  ])
  return JSON.stringify([tensors, all])
}

function scene(options: { isBroke?: () => boolean } = {}) {
  const clock = handClock()
  const asked: InferenceCall[] = []
  const billed: (ReceiptContext & Omit<Receipt, 'requests'>)[] = []
  const router = cachedRouter({
    clock,
    log: { info() {}, error() {} },
    cacheBytesMax: 10_000_000,
    metrics: { registry: new Registry() },
    receipts: {
      async append(context, receipt) {
        if (options.isBroke?.()) throw new AppError('insufficient_storage')
        billed.push({ ...context, ...receipt })
      },
    },
    router: {
      async infer(call) {
        asked.push(call)
        return answer(call, call.model.version)
      },
      load: async () => ({ runners: 1 }),
      unload: async () => {},
      statistics: async () => ({ runners: [], models: [] }),
      ready: async () => true,
    },
  })
  return { clock, asked, billed, ask: (call: InferenceCall) => router.infer(call, null) }
}

describe('what counts as the same question', () => {
  test('the same tensors and outputs give the same bytes in either form, all others give others', () => {
    fc.assert(
      fc.property(questions, questions, (a, b) => {
        const [first, second] = [a, b].map(each =>
          Buffer.from(canonicalBytes(decodeRequest({ ...bodyOf(each), signature }))).toString(
            'hex',
          ),
        )
        expect(first === second).toBe(written(a) === written(b))
      }),
      { numRuns: 500 },
    )
  })
})

describe('a kept answer', () => {
  test('is the model’s own to the byte in whichever form it is asked for, and no one else’s', async () => {
    const tenants = [newId('tenant'), newId('tenant')] as TenantId[]
    const step = fc.record({
      question: questions,
      tenant: fc.constantFrom(0, 1),
      model: fc.constantFrom('m', 'other'),
      version: fc.constantFrom(1, 2),
      waitS: fc.constantFrom(0, 0, 0, 25, 61),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async steps => {
        const { clock, asked, billed, ask } = scene()
        const oracle = new Map<string, number>()
        let hits = 0
        for (const { question, tenant, model, version, waitS } of steps) {
          clock.forward(waitS * 1_000)
          const of = servable({ cache: CACHE }, version, model)
          const call = callFor(tenants[tenant]!, of, question, { id: 'mine' })
          const reply = await ask(call)
          const plain = answer(call, version)
          expect(Buffer.from(reply.body).equals(Buffer.from(plain.body))).toBe(true)
          expect(reply.jsonLength).toBe(plain.jsonLength)
          const key = JSON.stringify([tenant, model, version, written(question)])
          const storedAt = oracle.get(key) ?? -Infinity
          const isHit = clock.now() - storedAt < CACHE.ttl_s * 1_000
          if (isHit) hits++
          else oracle.set(key, clock.now())
          expect(reply.cache).toMatch(isHit ? /^galley; hit; ttl=/ : /^galley; fwd=miss; stored$/)
          expect(reply.ageS).toBe(isHit ? (clock.now() - storedAt) / 1_000 : undefined)
        }
        expect(billed).toHaveLength(hits)
        expect(asked).toHaveLength(steps.length - hits)
        expect(new Set(billed.map(({ id }) => id)).size).toBe(hits)
      }),
      { numRuns: 100 },
    )
  })

  test('is billed as a hit of the caller who got it, with its rows and its own bytes, and no compute', async () => {
    const { billed, ask } = scene()
    const tenantId = newId('tenant') as TenantId
    const model = servable({ cache: CACHE })
    await ask(callFor(tenantId, model, QUESTION))
    const call = callFor(tenantId, model, { ...QUESTION, form: 'binary', outputForm: 'binary' })
    const reply = await ask(call)
    expect(billed).toEqual([
      expect.objectContaining({
        kind: 'cached',
        tenantId,
        keyId: call.call.caller.keyId,
        digest: model.digest,
        work: call.call.requestId,
        id: reply.receiptId,
        rows: QUESTION.inputs[0]!.shape[0],
        computeUs: 0,
        bytesIn: call.body.length,
        bytesOut: reply.body.length,
      }),
    ])
  })

  test('is not given where its receipt cannot be kept: the model is asked instead', async () => {
    let isBroke = false
    const { asked, ask } = scene({ isBroke: () => isBroke })
    const tenantId = newId('tenant') as TenantId
    const model = servable({ cache: CACHE })
    await ask(callFor(tenantId, model, QUESTION))
    isBroke = true
    const reply = await ask(callFor(tenantId, model, QUESTION))
    expect([reply.receiptId, asked.length]).toEqual(['rcp_model', 2])
  })

  test('is passed over by who asks for a fresh one, and kept unless the caller forbids it', async () => {
    const { asked, ask } = scene()
    const tenantId = newId('tenant') as TenantId
    const model = servable({ cache: CACHE })
    const asking = async (fresh?: InferenceCall['fresh']) =>
      (await ask(callFor(tenantId, model, QUESTION, { fresh }))).cache
    expect(await asking('no-store')).toBe('galley; fwd=request')
    expect(await asking('no-cache')).toBe('galley; fwd=request; stored')
    expect(await asking('no-cache')).toBe('galley; fwd=request; stored')
    expect(await asking()).toBe('galley; hit; ttl=60')
    expect(asked).toHaveLength(3)
  })

  test('is not made of classes, which pass by', async () => {
    const { asked, ask } = scene()
    const tenantId = newId('tenant') as TenantId
    const model = servable({ cache: CACHE })
    const finite: Tensor[] = [
      { ...QUESTION.inputs[0]!, shape: [1, 2], data: Float32Array.of(0.5, 2) },
      { ...QUESTION.inputs[1]!, shape: [1], data: [Buffer.from('a')] },
      { ...QUESTION.inputs[2]!, shape: [1], data: BigInt64Array.of(1n) },
    ]
    const x = { ...QUESTION, inputs: finite, outputs: ['x'] }
    const inOther = (parameters: object) => {
      const call = callFor(tenantId, model, x, { id: 'mine' })
      const wanted = JSON.stringify({ name: 'x', parameters })
      const text = Buffer.from(call.body).toString().replace('{"name":"x"}', wanted)
      return { ...call, body: Buffer.from(text) }
    }
    for (let i = 0; i < 2; i++) {
      expect((await ask(inOther({ classification: 1 }))).cache).toBeUndefined()
    }
    expect((await ask(inOther({}))).cache).toBe('galley; fwd=miss; stored')
    expect((await ask(inOther({ classification: 1 }))).cache).toBeUndefined()
    expect(asked).toHaveLength(4)
  })

  test('is neither made nor given of what answers no caller: shadows and trials ask the model', async () => {
    const { asked, ask } = scene()
    const tenantId = newId('tenant') as TenantId
    const model = servable({ cache: CACHE })
    for (const kind of ['shadow', 'trial', undefined, 'shadow', 'trial'] as const) {
      const { cache } = await ask(callFor(tenantId, model, QUESTION, { kind }))
      expect(cache).toBe(kind ? undefined : 'galley; fwd=miss; stored')
    }
    expect(asked).toHaveLength(5)
  })

  test('is gone with the setting, and none comes of a refusal', async () => {
    const { asked, billed, ask } = scene()
    const tenantId = newId('tenant') as TenantId
    await ask(callFor(tenantId, servable({ cache: CACHE }), QUESTION))
    expect((await ask(callFor(tenantId, servable(undefined), QUESTION))).cache).toBeUndefined()
    await ask(callFor(tenantId, servable({ cache: CACHE }), QUESTION))
    expect([asked.length, billed.length]).toEqual([3, 0])
    const broken = {
      ...callFor(tenantId, servable({ cache: CACHE }), QUESTION),
      body: Buffer.from('{'),
    }
    for (let i = 0; i < 2; i++) {
      await expect(ask(broken)).rejects.toMatchObject({ code: 'invalid_input' })
    }
    expect(billed).toHaveLength(0)
  })
})

test('what is kept stays within the bound of its model and of all, and what was used last stays longest', () => {
  const put = fc.record({
    owner: fc.constantFrom('a', 'b', 'c'),
    key: fc.integer({ min: 0, max: 9 }),
    size: fc.constantFrom(1, 500, 2_000, 9_000),
    isRead: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(put, { maxLength: 60 }), steps => {
      const [ofOne, ofAll] = [6_000, 10_000]
      const kept = new KeptAnswers(ofAll)
      let used: string[] = []
      for (const { owner, key, size, isRead } of steps) {
        const name = `${owner} ${key}`
        const [keyText, at] = [String(key), { nowMs: 0, ttlMs: 1 }]
        if (isRead) {
          const found = kept.get(owner, keyText, at)
          if (found) used = [...used.filter(each => each !== name), name]
          continue
        }
        const outputs: Tensor[] = [
          { name: 'y', datatype: 'UINT8', shape: [size], data: new Uint8Array(size) },
        ]
        const isKept = kept.put(owner, keyText, { outputs, rows: 1, storedAt: 0 }, ofOne)
        expect(isKept).toBe(size < ofOne)
        used = used.filter(each => each !== name)
        if (isKept) used.push(name)
        expect(kept.size.bytes).toBeLessThanOrEqual(ofAll)
        // Of each model those are left that were used last: no gap.
        for (const each of ['a', 'b', 'c']) {
          const own = used.filter(one => one.startsWith(each))
          const left = own.filter(one => kept.has(each, one.slice(2)))
          expect(left).toEqual(own.slice(own.length - left.length))
        }
        used = used.filter(one => kept.has(one[0]!, one.slice(2)))
      }
      expect(kept.size.entries).toBe(used.length)
    }),
    { numRuns: 300 },
  )
})
