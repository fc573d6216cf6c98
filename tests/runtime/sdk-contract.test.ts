import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { ROUTES as DECLARED } from '#schemas/contracts/all.ts'
import { printType } from '#sdk/contract/print.ts'
import { ROUTES } from '#sdk/contract.generated.ts'
import { CONTRACT_FILE, contractText } from '#sdk/generate.ts'

test('the generated contract says what the contracts say', () => {
  expect(readFileSync(CONTRACT_FILE, 'utf8') === contractText(), 'run npm run generate').toBe(true)
})

test('the client knows every route by its method, path and whether it takes an Idempotency-Key', () => {
  const known = Object.entries(ROUTES).map(([name, { method, path, idempotent }]) => ({
    name,
    method,
    path,
    idempotent,
  }))
  expect(known).toEqual(
    DECLARED.map(({ name, method, path, ...rest }) => ({
      name,
      method,
      path,
      idempotent: 'idempotent' in rest && rest.idempotent,
    })),
  )
})

test('types are printed with their optional, nullable and nested parts', () => {
  const text = printType({
    type: 'object',
    properties: {
      kind: { enum: ['a', 'b'] },
      sizes: { type: 'array', items: { type: ['integer', 'null'] } },
      tags: { type: 'object', additionalProperties: { type: 'string' } },
      owner: { anyOf: [{ $ref: '#/$defs/Tenant' }, { type: 'null' }] },
      rest: {},
    },
    required: ['kind'],
  })
  expect(text).toBe(
    [
      '{',
      "  kind: 'a' | 'b'",
      '  sizes?: Array<number | null>',
      '  tags?: Record<string, string>',
      '  owner?: Tenant | null',
      '  rest?: unknown',
      '}',
    ].join('\n'),
  )
})
