/** What a request gives to a verb: its path, query and body, parsed once by the route's contract. */
import type * as z from 'zod'
import { AppError } from '#core/error.ts'
import type { Route } from '#schemas/route.ts'
import { wordsOf } from './input-words.ts'

export type Input = Record<string, unknown>
export type Given = { url: string; params: Record<string, string>; body: Uint8Array }

/** Throws `invalid_request` or `invalid_body` with a pointer to what is wrong. */
export function inputOf(route: Route, given: Given): Input {
  const { searchParams } = new URL(given.url)
  const query = parsed(route.query, Object.fromEntries(searchParams), 'invalid_request', 'query')
  const body = route.body ? parsed(route.body, json(given.body), 'invalid_body', 'body') : {}
  parsed(route.params, given.params, 'invalid_request', 'path')
  return { ...query, ...body, ...given.params }
}

function json(body: Uint8Array): unknown {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(body)
    return text.trim() === '' ? {} : JSON.parse(text, storable)
  } catch (cause) {
    if (cause instanceof AppError) throw cause
    const why = (cause as Error).message
    throw new AppError('invalid_request', { public: `The body is not JSON in UTF-8: ${why}.` })
  }
}

/** JSON can write texts that UTF-8 and PostgreSQL have no form for. */
function storable(key: string, value: unknown): unknown {
  for (const text of [key, value]) {
    if (typeof text !== 'string' || (text.isWellFormed() && !text.includes('\0'))) continue
    throw new AppError('invalid_body', {
      public: 'A text in the body holds U+0000 or half a surrogate pair, which cannot be stored.',
    })
  }
  return value
}

function parsed(
  schema: z.ZodType | undefined,
  value: unknown,
  code: 'invalid_request' | 'invalid_body',
  what: string,
): Input {
  if (!schema) return {}
  const result = schema.safeParse(value, { error: wordsOf })
  if (result.success) return result.data as Input
  const errors = result.error.issues.map(issue => ({
    pointer: `/${issue.path.join('/')}`,
    detail: issue.message,
  }))
  const first = errors[0]!
  throw new AppError(code, {
    public: `The ${what} is wrong at ${first.pointer}: ${first.detail}.`,
    errors,
  })
}
