/**
 * Writes `contract.generated.ts`, all that the client knows of the API, from the routes' contracts.
 * It runs at development time only: what is published knows HTTP and the generated file alone.
 *
 *   node sdk/generate.ts [--check]     --check: fails when the file is stale
 */
import { readFileSync, writeFileSync } from 'node:fs'
import * as z from 'zod'
import { ROUTES } from '#schemas/contracts/all.ts'
import * as jobs from '#schemas/contracts/jobs.ts'
import * as models from '#schemas/contracts/models.ts'
import * as tenants from '#schemas/contracts/tenants.ts'
import * as usage from '#schemas/contracts/usage.ts'
import { ERRORS } from '#schemas/errors.ts'
import { type Route, SCOPES } from '#schemas/route.ts'
import { DATATYPES } from '#schemas/signature.ts'
import { type JsonSchema, printType } from './contract/print.ts'

export const CONTRACT_FILE = new URL('./contract.generated.ts', import.meta.url)

const HEADER = `/** Generated from the contracts of the API by sdk/generate.ts; not to be edited. */\n`

/** What the file should say. Throws where one noun would need two forms. */
export function contractText(): string {
  const nouns = new Map<string, string>()
  const registry = namedSchemas()
  const print = (type: z.ZodType, io: 'input' | 'output', indent = '') =>
    printNamed(type, io, indent, registry, nouns)
  const routes = ROUTES as readonly Route[]
  const contract = routes.map(route => printContract(route, print)).join('')
  return [
    HEADER,
    `export const SCOPES = ${list(SCOPES)} as const`,
    `export const GROUPS = ${list(usage.GROUPS)} as const`,
    `export const DATATYPES = ${list(DATATYPES)} as const\n`,
    `export type ErrorCode =${Object.keys(ERRORS)
      .map(code => `\n  | '${code}'`)
      .join('')}\n`,
    ...[...nouns].sort().map(([name, text]) => `export type ${name} = ${text}\n`),
    `/** What each route takes and answers; a Response where the answer is no JSON. */`,
    `export type Contract = {\n${contract}}\n`,
    `export type RouteName = keyof Contract\n`,
    `export type RouteEntry = {\n  method: 'GET' | 'POST' | 'PUT' | 'DELETE'\n  path: string`,
    `  /** Takes an Idempotency-Key. */\n  idempotent: boolean`,
    `  /** The body is bytes. */\n  raw: boolean\n  /** The answer is JSON. */\n  json: boolean\n}\n`,
    `export const ROUTES: Record<RouteName, RouteEntry> = {\n${routes.map(printEntry).join('')}}\n`,
  ].join('\n')
}

/** Every object that a contract exports has a name, so that the generated types have it too. */
function namedSchemas() {
  const registry = z.registry<{ id: string }>()
  for (const module of [jobs, models, tenants, usage]) {
    for (const [name, value] of Object.entries(module)) {
      const isNoun = value instanceof z.ZodObject || value instanceof z.ZodDiscriminatedUnion
      if (!isNoun || name.endsWith('Query')) continue
      registry.add(value, { id: name[0]!.toUpperCase() + name.slice(1) })
    }
  }
  return registry
}

function printNamed(
  type: z.ZodType,
  io: 'input' | 'output',
  indent: string,
  registry: ReturnType<typeof namedSchemas>,
  nouns: Map<string, string>,
): string {
  const options = { io, metadata: registry, unrepresentable: 'any' } as const
  const schema = z.toJSONSchema(type, options) as JsonSchema
  for (const [name, definition] of Object.entries(schema.$defs ?? {})) {
    const text = printType(definition)
    if ((nouns.get(name) ?? text) !== text) {
      throw new Error(`"${name}" is sent and received in different forms; give each its own name`)
    }
    nouns.set(name, text)
  }
  return printType(schema, indent)
}

function printContract(
  route: Route,
  print: (type: z.ZodType, io: 'input' | 'output', indent?: string) => string,
): string {
  const params = [...route.path.matchAll(/:([a-z_]+)/g)].map(match => `${match[1]}: string`)
  const input = [
    ...(params.length > 0 ? [`params: { ${params.join('; ')} }`] : []),
    ...(route.query ? [`query?: ${print(route.query, 'input', '      ')}`] : []),
    ...(route.body ? [`body: ${print(route.body, 'input', '      ')}`] : []),
    ...(route.raw ? ['body: Uint8Array<ArrayBuffer> | string'] : []),
  ]
  const lines = input.map(line => `      ${line}\n`).join('')
  const reply = route.reply ? print(route.reply, 'output', '    ') : 'Response'
  return `  /** ${route.summary} */\n  '${route.name}': {\n    input: {${lines ? `\n${lines}    ` : ''}}\n    reply: ${reply}\n  }\n`
}

function printEntry({ name, method, path, idempotent, raw, reply }: Route): string {
  const flags = `idempotent: ${!!idempotent}, raw: ${!!raw}, json: ${!!reply}`
  return `  '${name}': { method: '${method}', path: '${path}', ${flags} },\n`
}

function list(values: readonly string[]): string {
  return `[${values.map(value => `\n  '${value}',`).join('')}\n]`
}

if (import.meta.main) {
  const text = contractText()
  if (!process.argv.includes('--check')) {
    writeFileSync(CONTRACT_FILE, text)
  } else if (readFileSync(CONTRACT_FILE, 'utf8') !== text) {
    process.stderr.write('sdk/contract.generated.ts is stale: run npm run generate.\n')
    process.exitCode = 1
  }
}
