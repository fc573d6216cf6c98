import { describe, expect, test } from 'vitest'
import { compileEndpoint } from '#core/decisions/compile.ts'
import type { AppError } from '#core/error.ts'
import { compileService, compileView } from '#core/features/compile.ts'
import { type EndpointDefinition, endpointBody } from '#schemas/contracts/decisions.ts'
import type { EventType } from '#schemas/event.ts'
import type { Signature } from '#schemas/signature.ts'

const EVENT: EventType = {
  type: 'payment',
  version: 1,
  fields: {
    card_id: { type: 'string' },
    shop_id: { type: 'string' },
    amount: { type: 'decimal', scale: 2 },
    country: { type: 'string' },
  },
  entities: { card: 'card_id', shop: 'shop_id' },
  online_days: 40,
}
const views = new Map(
  await Promise.all(
    (['card', 'shop'] as const).map(async entity => {
      const name = `${entity}_view`
      const definition = {
        entity,
        event_type: 'payment',
        features: {
          count: { agg: 'count', window: '1h' },
          spent: { agg: 'sum', of: 'amount', window: '1h' },
          land: { agg: 'last', of: 'country' },
        } as const,
      }
      return [name, await compileView(name, definition, EVENT)] as const
    }),
  ),
)
const service = await compileService(
  'fraud',
  {
    features: ['card_view:*', 'shop_view:count'],
    request: { amount: { type: 'decimal', scale: 2 } },
    transforms: { abroad: `if(card_view.land = 'DE', 0, 1)` },
  },
  views,
)
const fp32 = (name: string, shape: number[]) => ({
  name,
  datatype: 'FP32' as const,
  shape,
  batch_axis: 0,
})
const SIGNATURE: Signature = {
  inputs: [fp32('x', [-1, 3])],
  outputs: [fp32('y', [-1, 2]), { ...fp32('label', [-1]), datatype: 'INT64' }],
  batching: 'invariant',
}
const MODEL = {
  name: 'm',
  tensor: 'x',
  output: 'y',
  output_index: 1,
  features: ['card_view.count', 'request.amount', 'abroad'],
}
type Given = Record<string, unknown>

function compile(change: Given = {}, parts: Partial<Parameters<typeof compileEndpoint>[2]> = {}) {
  const definition = {
    event_type: 'payment',
    gate: 'card',
    service: 'fraud',
    model: MODEL,
    rules: [{ name: 'high', when: 'score > 0.9', answer: 'decline' }],
    otherwise: 'approve',
    ...change,
  }
  const parsed: EndpointDefinition = endpointBody.parse(definition)
  const signature = parsed.model ? SIGNATURE : null
  return compileEndpoint('e', parsed, { event: EVENT, service, signature, ...parts })
}

async function refusal(...given: Parameters<typeof compile>) {
  const error = await compile(...given).then(
    () => null,
    (error: AppError) => error,
  )
  expect(error?.code).toBe('invalid_definition')
  return error!.errors![0]!
}

describe('a plan', () => {
  test('has every name that rules may use with its type, and the model’s row in order', async () => {
    const { scope, model, rules } = await compile()
    expect(scope).toEqual({
      'card_view.count': { type: 'int' },
      'card_view.spent': { type: 'decimal', scale: 2 },
      'card_view.land': { type: 'string' },
      'shop_view.count': { type: 'int' },
      'request.amount': { type: 'decimal', scale: 2 },
      abroad: { type: 'int' },
      score: { type: 'float' },
    })
    expect(model).toEqual({
      model: 'm',
      version: null,
      tensor: 'x',
      features: MODEL.features,
      missing: {},
      output: { tensor: 'y', index: 1 },
    })
    expect(rules).toEqual([{ name: 'high', when: 'score > 0.9', answer: 'decline' }])
  })

  test('takes features as they are listed too, and leaves an answer out as null', async () => {
    const features = ['card_view:count', 'request.amount', 'abroad']
    const missing = { 'card_view:count': -1 }
    const { model } = await compile({ model: { ...MODEL, version: 3, features, missing } })
    expect(model).toMatchObject({
      version: '3',
      features: MODEL.features,
      missing: { 'card_view.count': -1 },
    })
    const { rules } = await compile({ rules: [{ name: 'r', when: 'abroad = 1' }] })
    expect(rules[0]!.answer).toBeNull()
  })

  test('has the same hash for the same content, and another for anything that changes an answer', async () => {
    const { hash } = await compile()
    expect((await compile()).hash).toBe(hash)
    const changed = await Promise.all([
      compile({ otherwise: 'review' }),
      compile({ gate: 'shop' }),
      compile({ rules: [] }),
      compile({ rules: [{ name: 'high', when: 'score > 0.91', answer: 'decline' }] }),
      compile({ model: { ...MODEL, output_index: 0 } }),
      compile({ model: { ...MODEL, missing: { abroad: 1 } } }),
      compile({ model: { ...MODEL, version: 'champion' } }),
      compile({}, { service: { ...service, hash: 'other' } }),
    ])
    const hashes = new Set([hash, ...changed.map(plan => plan.hash)])
    expect(hashes.size).toBe(changed.length + 1)
  })
})

describe('what does not fit is refused where it stands', () => {
  test.each<[string, string, Given]>([
    ['a gate that the event tells nothing about', '/gate', { gate: 'device' }],
    ['a condition with a name that there is not', '/rules/0/when', rules('card_view.many > 1')],
    ['a condition that is none', '/rules/0/when', rules('card_view.count + 1')],
    ['a condition that cannot be read', '/rules/0/when', rules('score >')],
    ['two rules of one name', '/rules/1/name', rules('abroad = 1', 'abroad = 0')],
    ['the score without a model', '/rules/0/when', { model: undefined }],
    [
      'a feature that there is not',
      '/model/features/1',
      features('abroad', 'card_view.x', 'abroad'),
    ],
    ['a feature that is no number', '/model/features/0', features('card_view.land', 'abroad')],
    ['the score as a feature', '/model/features/0', features('score', 'abroad', 'abroad')],
    ['fewer features than the model takes', '/model/features', features('abroad')],
    ['an input that there is not', '/model/tensor', { model: { ...MODEL, tensor: 'z' } }],
    ['an output that there is not', '/model/output', { model: { ...MODEL, output: 'z' } }],
    ['an output that is no score', '/model/output', { model: { ...MODEL, output: 'label' } }],
    ['an element past the output', '/model/output_index', { model: { ...MODEL, output_index: 2 } }],
    [
      'a stand-in for no feature',
      '/model/missing/shop_view.count',
      { model: { ...MODEL, missing: { 'shop_view:count': 0 } } },
    ],
  ])('%s', async (_, pointer, change) => {
    expect((await refusal(change)).pointer).toBe(pointer)
  })

  test('a service of an entity whose key is not in the event', async () => {
    const event = { ...EVENT, entities: { card: 'card_id' } }
    expect(await refusal({}, { event })).toMatchObject({
      pointer: '/service',
      detail: expect.stringContaining('shop'),
    })
  })

  test('a service that is given what the event has not, or has as something else', async () => {
    for (const amount of [undefined, { type: 'int' }, { type: 'decimal', scale: 3 }] as const) {
      const { amount: _, ...rest } = EVENT.fields
      const fields = { ...rest, ...(amount && { amount }) }
      expect(await refusal({}, { event: { ...EVENT, fields } })).toMatchObject({
        pointer: '/service',
        detail: expect.stringContaining('request.amount'),
      })
    }
  })

  test('a model with more than one input, of other numbers, or with more axes', async () => {
    const inputs = (...of: Signature['inputs']) => ({ signature: { ...SIGNATURE, inputs: of } })
    const two = inputs(fp32('x', [-1, 3]), fp32('z', [-1, 3]))
    expect((await refusal({}, two)).pointer).toBe('/model/tensor')
    const wide = inputs({ ...fp32('x', [-1, 3]), datatype: 'FP64' })
    expect((await refusal({}, wide)).pointer).toBe('/model/features')
    expect((await refusal({}, inputs(fp32('x', [-1, 3, 1])))).pointer).toBe('/model/features')
    expect((await refusal({}, inputs(fp32('x', [4, 3])))).pointer).toBe('/model/features')
  })
})

function rules(...conditions: string[]): Given {
  return { rules: conditions.map(when => ({ name: 'r', when })) }
}

function features(...names: string[]): Given {
  return { model: { ...MODEL, features: names } }
}
