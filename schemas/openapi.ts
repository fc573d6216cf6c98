/** OpenAPI 3.1 from the table of routes: nothing is described twice. */
import * as z from 'zod'
import { ROUTES } from './contracts/all.ts'
import { ERRORS } from './errors.ts'
import type { Route } from './route.ts'
import { API_VERSION } from './version.ts'

const PROBLEM = {
  type: 'object',
  required: ['type', 'title', 'status', 'detail', 'code', 'request_id'],
  properties: {
    type: { type: 'string' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    code: { type: 'string', enum: Object.keys(ERRORS) },
    request_id: { type: 'string' },
    errors: {
      type: 'array',
      items: {
        type: 'object',
        properties: { pointer: { type: 'string' }, detail: { type: 'string' } },
      },
    },
  },
}

export function openApiDocument() {
  const paths: Record<string, Record<string, unknown>> = {}
  for (const route of ROUTES as readonly Route[]) {
    const path = route.path.replaceAll(/:([a-z_]+)/g, '{$1}')
    paths[path] ??= {}
    paths[path][route.method.toLowerCase()] = operation(route)
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Galley', version: API_VERSION, license: { name: 'Apache-2.0' } },
    paths,
    components: {
      schemas: { Problem: PROBLEM },
      securitySchemes: { key: { type: 'http', scheme: 'bearer' } },
    },
  }
}

/** What asks for no API key. */
const KEYLESS = ['public', 'signed']

function operation(route: Route) {
  const { scope } = route.policy
  return {
    operationId: route.name,
    summary: route.summary,
    ...(!KEYLESS.includes(scope) && { security: [{ key: scope === 'any' ? [] : [scope] }] }),
    parameters: parameters(route),
    ...(route.body && {
      requestBody: {
        required: true,
        content: { 'application/json': { schema: schema(route.body, 'input') } },
      },
    }),
    ...(route.raw && {
      requestBody: { required: true, description: route.raw, content: { '*/*': {} } },
    }),
    responses: {
      [route.status]: {
        description: 'Success',
        ...(route.reply && {
          content: { 'application/json': { schema: schema(route.reply, 'output') } },
        }),
      },
      default: {
        description: 'A problem',
        content: {
          [route.errors === 'problem' ? 'application/problem+json' : 'application/json']: {
            schema:
              route.errors === 'feast'
                ? { type: 'string', description: 'JSON with module, class and message' }
                : { $ref: '#/components/schemas/Problem' },
          },
        },
      },
    },
  }
}

function parameters(route: Route) {
  const inPath = [...route.path.matchAll(/:([a-z_]+)/g)].map(match => ({
    name: match[1],
    in: 'path',
    required: true,
    schema: formOf(route, match[1]!),
  }))
  const inQuery = Object.entries(route.query?.shape ?? {}).map(([name, type]) => ({
    name,
    in: 'query',
    required: false,
    schema: schema(type as z.ZodType, 'input'),
  }))
  const keyed = route.idempotent
    ? [
        {
          name: 'Idempotency-Key',
          in: 'header',
          required: false,
          schema: { type: 'string', maxLength: 255 },
        },
      ]
    : []
  return [...inPath, ...inQuery, ...keyed]
}

function formOf(route: Route, param: string) {
  const form = route.params?.shape[param] as z.ZodType | undefined
  return form ? schema(form, 'input') : { type: 'string' }
}

function schema(type: z.ZodType, io: 'input' | 'output') {
  const { $schema, ...rest } = z.toJSONSchema(type, { io, unrepresentable: 'any' })
  return rest
}
