/**
 * An endpoint made ready: from an event to the entities that are read, from what was read to the model's
 * row, from its answer to a decision. Pure; what is asked of others is asked by the route.
 */

import { compilePolicy, type Judged, type Named } from '#core/decisions/policy.ts'
import type { EntityKey, EntityRead } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { entityKeyOf } from '#core/events/contract.ts'
import { accumulator, finalize } from '#core/features/finalize.ts'
import type { DecisionPlan, ModelInput } from '#schemas/decision.ts'
import type { Event, Value } from '#schemas/event.ts'
import type { FeatureValue, ViewValues } from '#schemas/feature.ts'
import { compileReader, type Reader } from '../features/reader.ts'
import { type Show, showAs } from '../features/shown.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export type Decider = {
  plan: DecisionPlan
  reader: Reader
  /** Entities of which the event tells no key are not read. Throws `invalid_event` where the gate's is missing. */
  keys(event: Event): { gate: EntityKey; others: EntityKey[] }
  /** Values in stored form by name: features, request fields, transforms. */
  named(reads: readonly EntityRead[], event: Event): Named
  /** The request of the model, in the binary form of the Open Inference Protocol; null without a model. */
  question: ((values: Named) => { body: Uint8Array; jsonLength: number }) | null
  judge(values: Named): Judged
  /** Values as callers see them. */
  shown(values: Named): Record<string, FeatureValue>
}

export function compileDecider(plan: DecisionPlan): Decider {
  const reader = compileReader(plan.service)
  const { entities } = plan.event
  const others = reader.entities.filter(entity => entity !== plan.gate)
  const names = [
    ...plan.service.features.map(name => name.replace(':', '.')),
    ...plan.service.transforms.map(({ name }) => name),
  ]
  const requested = Object.keys(plan.service.request)
  const absent = reader.entities.map(entity => [entity, nothingOf(plan, entity)] as const)
  const shows = new Map<string, Show>(
    Object.entries(plan.scope).map(([name, type]) => [name, showAs(type)]),
  )
  return {
    plan,
    reader,
    keys(event) {
      const keyOf = (entity: string) => {
        const entityKey = entityKeyOf(entities[entity]!, event.data)
        return entityKey === null ? null : { entity, entityKey }
      }
      const gate = keyOf(plan.gate)
      if (!gate) throw gateless(plan)
      return { gate, others: others.flatMap(entity => keyOf(entity) ?? []) }
    },
    named(reads, event) {
      const byEntity = new Map(absent)
      for (const read of reads) byEntity.set(read.entity, read)
      const request: Record<string, Value> = {}
      for (const name of requested) request[name] = event.data[name] ?? null
      const { values } = reader.row(byEntity, request)
      const named: Named = {}
      for (let i = 0; i < names.length; i++) named[names[i]!] = values[i]!
      for (const name of requested) named[`request.${name}`] = request[name]!
      return named
    },
    question: plan.model && questionOf(plan, plan.model),
    judge: compilePolicy(plan),
    shown(values) {
      const shown: Record<string, FeatureValue> = {}
      for (const [name, value] of Object.entries(values)) {
        if (name !== 'score') shown[name] = shows.get(name)!(value)
      }
      return shown
    },
  }
}

/** What is read of an entity that the event does not name: no events. */
function nothingOf({ service }: DecisionPlan, entity: string): EntityRead {
  const views = service.views
    .filter(view => view.entity === entity)
    .map(({ features }): ViewValues => {
      const empty = features.map(feature => finalize(feature, accumulator(feature).ir()))
      return {
        values: empty.map(({ value }) => value),
        statuses: empty.map(({ status }) => status),
        eventTimes: empty.map(() => null),
      }
    })
  return { entity, entityKey: '', partition: -1, seq: 0, at: 0, views }
}

function gateless({ endpoint, gate, event }: DecisionPlan): AppError {
  const fields = [event.entities[gate]!].flat().join(', ')
  const detail = `"${endpoint}" decides for each "${gate}" in turn, and its key (${fields}) is missing.`
  return new AppError('invalid_event', { public: detail, errors: [{ pointer: '/data', detail }] })
}

function questionOf({ scope }: DecisionPlan, model: ModelInput): Decider['question'] {
  const { tensor, features, missing, output } = model
  const head = encoder.encode(
    JSON.stringify({
      inputs: [
        {
          name: tensor,
          shape: [1, features.length],
          datatype: 'FP32',
          parameters: { binary_data_size: 4 * features.length },
        },
      ],
      outputs: [{ name: output.tensor, parameters: { binary_data: true } }],
    }),
  )
  const units = features.map(name => 10 ** (scope[name]!.scale ?? 0))
  const absent = features.map(name => missing[name] ?? 0)
  return values => {
    const body = new Uint8Array(head.length + 4 * features.length)
    body.set(head)
    const view = new DataView(body.buffer, head.length)
    for (let i = 0; i < features.length; i++) {
      const value = values[features[i]!] as Value
      const number = value === null ? absent[i]! : Number(value) / units[i]!
      view.setFloat32(4 * i, number, true)
    }
    return { body, jsonLength: head.length }
  }
}

type Output = { name: string; datatype: string; parameters?: { binary_data_size?: number } }

/** The score in a binary reply. Throws `inference_failed` when it is not there. */
export function scoreOf(
  { output }: ModelInput,
  body: Uint8Array,
  jsonLength: number | null,
): number {
  const head = JSON.parse(decoder.decode(body.subarray(0, jsonLength ?? body.length))) as {
    outputs: Output[]
  }
  const found = head.outputs.find(({ name }) => name === output.tensor)
  const width = found?.datatype === 'FP64' ? 8 : 4
  const at = (jsonLength ?? body.length) + output.index * width
  const size = found?.parameters?.binary_data_size ?? 0
  if (!found || (output.index + 1) * width > size) {
    throw new AppError('inference_failed', {
      public: `The model's "${output.tensor}" has no element ${output.index} to take the score from.`,
    })
  }
  const view = new DataView(body.buffer, body.byteOffset + at, width)
  return width === 8 ? view.getFloat64(0, true) : view.getFloat32(0, true)
}
