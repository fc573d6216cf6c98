/** What OpenAI's clients ask for: models, embeddings. Errors have that API's form, on every path. */
import * as z from 'zod'
import { route } from '#schemas/route.ts'

/** 2,048 texts of two thousand characters; more is for a batch. */
export const EMBEDDINGS_BODY_BYTES_MAX = 4 * 1024 ** 2

const openai = { errors: 'openai', status: 200 } as const
const control = { limit: 'control', cache: 'none', meter: 'none', target: 'functions' } as const

const model = z.object({
  id: z.string(),
  object: z.literal('model'),
  /** Seconds since 1970. */
  created: z.number(),
  owned_by: z.string(),
})

export const openaiRoutes = [
  route({
    name: 'openai.models',
    method: 'GET',
    path: '/v1/models',
    summary: 'List the models that have a ready version, in the form of OpenAI.',
    reply: z.object({ object: z.literal('list'), data: z.array(model) }),
    ...openai,
    policy: { ...control, scope: 'infer' },
  }),
  route({
    name: 'openai.model',
    method: 'GET',
    path: '/v1/models/:model',
    summary: 'Show a model that has a ready version, in the form of OpenAI.',
    reply: model,
    ...openai,
    policy: { ...control, scope: 'infer' },
  }),
  route({
    name: 'openai.embeddings',
    method: 'POST',
    path: '/v1/embeddings',
    summary: 'Embed texts or token ids, in the form of OpenAI.',
    raw: 'application/json',
    reply: z.object({
      object: z.literal('list'),
      model: z.string(),
      data: z.array(
        z.object({
          object: z.literal('embedding'),
          index: z.number(),
          /** Numbers, or base64 of 32-bit floats (little-endian). */
          embedding: z.union([z.array(z.number()), z.string()]),
        }),
      ),
      usage: z.object({ prompt_tokens: z.number(), total_tokens: z.number() }),
    }),
    ...openai,
    bodyBytesMax: EMBEDDINGS_BODY_BYTES_MAX,
    policy: {
      scope: 'infer',
      limit: 'inference',
      cache: 'none',
      meter: 'inference',
      target: 'router',
    },
  }),
] as const
