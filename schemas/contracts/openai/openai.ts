/** What OpenAI's clients ask for: models. Errors have that API's form, on every path. */
import * as z from 'zod'
import { route } from '#schemas/route.ts'

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
] as const
