/** JSON Schema to the text of a TypeScript type: as much of it as zod writes for our contracts. */

export type JsonSchema = {
  $ref?: string
  $defs?: Record<string, JsonSchema>
  type?: string | string[]
  const?: unknown
  enum?: unknown[]
  anyOf?: JsonSchema[]
  oneOf?: JsonSchema[]
  items?: JsonSchema
  properties?: Record<string, JsonSchema>
  required?: string[]
  additionalProperties?: JsonSchema | boolean
}

const DEFINITIONS = '#/$defs/'

export function printType(schema: JsonSchema, indent = ''): string {
  if (schema.$ref) return schema.$ref.replace(DEFINITIONS, '')
  if ('const' in schema) return literal(schema.const)
  if (schema.enum) return union(schema.enum.map(literal))
  const { anyOf = schema.oneOf } = schema
  if (anyOf) return union(anyOf.map(each => printType(each, indent)))
  if (Array.isArray(schema.type)) {
    return union(schema.type.map(type => printType({ ...schema, type }, indent)))
  }
  switch (schema.type) {
    case 'string':
    case 'boolean':
    case 'null':
      return schema.type
    case 'number':
    case 'integer':
      return 'number'
    case 'array':
      return `Array<${printType(schema.items ?? {}, indent)}>`
    case 'object':
      return printObject(schema, indent)
    default:
      return 'unknown'
  }
}

function printObject(schema: JsonSchema, indent: string): string {
  const { properties, required = [], additionalProperties } = schema
  if (!properties) {
    const values = typeof additionalProperties === 'object' ? additionalProperties : {}
    return `Record<string, ${printType(values, indent)}>`
  }
  const inner = `${indent}  `
  const lines = Object.entries(properties).map(
    ([name, type]) =>
      `${inner}${name}${required.includes(name) ? '' : '?'}: ${printType(type, inner)}\n`,
  )
  return lines.length === 0 ? '{}' : `{\n${lines.join('')}${indent}}`
}

function union(members: string[]): string {
  return [...new Set(members)].join(' | ')
}

function literal(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : String(value)
}
