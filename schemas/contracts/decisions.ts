/** Decisions: how an endpoint is defined, asked, looked up again, and told how things turned out. */
import * as z from 'zod'
import { route } from '#schemas/route.ts'
import { name, value } from './features.ts'
import { alias, modelName } from './models.ts'
import { pageOf, pageQuery, timestamp } from './page.ts'

export const DECISION_BODY_BYTES_MAX = 65_536

const expression = z.string().min(1).max(2_000)
export const endpointBody = z.strictObject({
  event_type: z.string().min(1).max(100),
  /** The entity whose decisions stand in one order, each seeing those before it. */
  gate: name,
  /** The feature service that is read. */
  service: name,
  model: z
    .strictObject({
      name: modelName,
      /** A number or an alias; without it what serves. */
      version: z.union([z.number().int().min(1), alias]).optional(),
      /** The input that takes the row, FP32 [rows, features]. */
      tensor: z.string().min(1).max(200),
      /** Names in the order of the row: transforms, `view.feature`, `request.field`. */
      features: z.array(z.string()).min(1).max(1_000),
      /** What stands for a value that is missing; 0 without it. */
      missing: z.record(z.string(), z.number()).optional(),
      /** The output that is the score, and which of its elements. */
      output: z.string().min(1).max(200),
      output_index: z.number().int().min(0).default(0),
    })
    .optional(),
  /** The first whose condition holds decides; one without an answer only gives its reason. */
  rules: z
    .array(
      z.strictObject({
        name: z.string().min(1).max(200),
        when: expression,
        answer: z.string().min(1).max(100).optional(),
      }),
    )
    .max(200),
  /** When no rule decides. */
  otherwise: z.string().min(1).max(100),
})
export type EndpointDefinition = z.output<typeof endpointBody>

export const endpoint = z.object({
  name: z.string(),
  version: z.number(),
  hash: z.string(),
  created_at: timestamp,
  definition: endpointBody,
  service: z.object({ name: z.string(), version: z.number(), hash: z.string() }),
})

const decideBody = z.strictObject({
  id: z.string(),
  source: z.string().optional(),
  time: z.string().optional(),
  data: z.record(z.string(), z.unknown()),
  /** Also says which features moved the score; costs a second, larger question to the model. */
  explain: z.boolean().optional(),
})
const explanation = z.object({
  method: z.literal('replaced_by_missing'),
  features: z.array(
    z.object({
      feature: z.string(),
      value: z.number(),
      replaced_by: z.number(),
      change: z.number(),
    }),
  ),
})
const reason = z.object({ rule: z.string(), answer: z.string().nullable() })
const outcome = z.object({
  decision: z.string(),
  score: z.number().nullable(),
  reasons: z.array(reason),
  features: z.record(z.string(), value),
  model: z
    .object({ name: z.string(), version: z.number(), digest: z.string(), receipt: z.string() })
    .nullable(),
})
const place = z.object({
  entity: z.string(),
  entity_key: z.string(),
  partition: z.number(),
  seq: z.number(),
  at: timestamp,
})
const decided = outcome.extend({
  endpoint: z.object({ name: z.string(), version: z.number() }),
  event: z.object({ source: z.string(), id: z.string(), seq: z.number(), known_at: timestamp }),
  /** What was read: of which entity, at which place of its partition. */
  reads: z.array(place),
  /** It had been decided before; this is the same snapshot. */
  repeated: z.boolean(),
  explanation: explanation.optional(),
})
const named = z.strictObject({ id: z.string().min(1), source: z.string().min(1).optional() })
const stored = z.object({
  endpoint: z.object({ name: z.string(), version: z.number() }),
  event: z.object({ source: z.string(), id: z.string(), time: timestamp }).nullable(),
  at: timestamp,
  outcome: outcome.nullable(),
  label: z
    .object({ value: z.union([z.number(), z.boolean(), z.string()]), at: z.string() })
    .nullable(),
})

const backtest = z.object({
  decisions: z.number(),
  compared: z.number(),
  changed: z.number(),
  /** Those that say nothing: without an answer, or made by features or a model that it does not use. */
  skipped: z.record(z.enum(['unanswered', 'other_features', 'other_model']), z.number()),
  answers: z.array(
    z.object({
      from: z.string(),
      to: z.string(),
      count: z.number(),
      /** Of those with a label, how many have which. */
      labels: z.record(z.string(), z.number()),
    }),
  ),
  examples: z.array(
    z.object({
      source: z.string(),
      id: z.string(),
      from: z.string(),
      to: z.string(),
      score: z.number().nullable(),
    }),
  ),
})

const control = { limit: 'control', cache: 'none', meter: 'none', target: 'functions' } as const
const edge = { limit: 'features', cache: 'none', meter: 'none', target: 'edge' } as const

export const decisionRoutes = [
  route({
    name: 'endpoints.apply',
    method: 'PUT',
    path: '/v1/decision-endpoints/:endpoint',
    summary: 'Define how a decision is made; a change makes the next version.',
    params: z.object({ endpoint: name }),
    body: endpointBody,
    reply: endpoint,
    status: 200,
    policy: { ...control, scope: 'decisions:write' },
  }),
  route({
    name: 'endpoints.list',
    method: 'GET',
    path: '/v1/decision-endpoints',
    summary: 'List endpoints, each at its newest version.',
    query: pageQuery,
    reply: pageOf(endpoint),
    status: 200,
    policy: { ...control, scope: 'decisions:read' },
  }),
  route({
    name: 'endpoints.get',
    method: 'GET',
    path: '/v1/decision-endpoints/:endpoint',
    summary: 'Show an endpoint at its newest version.',
    reply: endpoint,
    status: 200,
    policy: { ...control, scope: 'decisions:read' },
  }),
  route({
    name: 'endpoints.backtest',
    method: 'POST',
    path: '/v1/decision-endpoints/:endpoint/backtest',
    summary:
      'Say what other rules, or another model, would have answered to decisions of the past.',
    body: z.strictObject({
      definition: endpointBody,
      /** So many decisions, the newest first. */
      limit: z.number().int().min(1).max(20_000).default(2_000),
    }),
    reply: backtest,
    status: 200,
    policy: { ...control, meter: 'inference', scope: 'decisions:read' },
  }),
  route({
    name: 'decisions.decide',
    method: 'POST',
    path: '/v1/decisions/:endpoint',
    summary: 'Judge an event by what was before it, and apply it, in one step.',
    body: decideBody,
    reply: decided,
    status: 200,
    bodyBytesMax: DECISION_BODY_BYTES_MAX,
    policy: { ...edge, meter: 'inference', scope: 'decide' },
  }),
  route({
    name: 'decisions.replay',
    method: 'POST',
    path: '/v1/decisions/:endpoint/replay',
    summary: 'Make a decision again from its events, and say whether it is the same to the bit.',
    body: named,
    reply: z.object({
      equal: z.boolean(),
      differs: z.array(z.string()),
      decided: outcome.nullable(),
      replayed: outcome,
    }),
    status: 200,
    policy: { ...edge, meter: 'inference', scope: 'decide' },
  }),
  route({
    name: 'decisions.list',
    method: 'GET',
    path: '/v1/decisions/:endpoint',
    summary: 'Decisions of an endpoint, newest first.',
    query: pageQuery,
    reply: pageOf(stored),
    status: 200,
    policy: { ...control, scope: 'decisions:read' },
  }),
  route({
    name: 'decisions.find',
    method: 'GET',
    path: '/v1/decisions/:endpoint/find',
    summary: 'One decision by the source and id of its event.',
    query: z.strictObject({ id: z.string().min(1), source: z.string().min(1).optional() }),
    reply: stored,
    status: 200,
    policy: { ...control, scope: 'decisions:read' },
  }),
  route({
    name: 'decisions.feedback',
    method: 'POST',
    path: '/v1/feedback',
    summary: 'Say how a decision turned out; the newest word counts.',
    body: named.extend({
      endpoint: name,
      label: z.union([z.number(), z.boolean(), z.string().max(200)]),
      at: timestamp.optional(),
    }),
    reply: stored,
    status: 200,
    policy: { ...control, scope: 'decisions:write' },
  }),
] as const
