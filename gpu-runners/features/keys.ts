/** Keys of entities in the spine, as the texts by which the log knows them. */
import type { sets } from '#core/training/training.ts'
import { quoted } from './database.ts'
import { WrongSpine } from './messages.ts'
import type { Check } from './spine.ts'

/** The columns that make the key of an entity, in order. */
export type Key = readonly sets.KeyField[]

/** Which ASCII letters may not stand in a JSON text as they are, besides the quote and the backslash. */
const CONTROLS = Array.from({ length: 31 }, (_, i) => i + 1)

/** A part alone, or a JSON array of several. */
export function keySql(key: Key, types: ReadonlyMap<string, string>): string {
  const parts = key.map(field => partSql(field, types.get(field.name)!))
  if (parts.length === 1) return parts[0]!
  // Null where a part is: `||` is null then.
  return `'[' || ${parts.map(jsonSql).join(` || ',' || `)} || ']'`
}

export function keyChecks(key: Key, types: ReadonlyMap<string, string>): Check[] {
  return key.map(field => ({
    column: field.name,
    sql: partSql(field, types.get(field.name)!),
    wanted: WANTED[field.type] ?? 'a text',
  }))
}

const WANTED: Record<string, string> = {
  string: 'a text',
  int: 'a whole number',
  bool: 'true or false',
  time: 'a time',
}

function partSql({ name, type }: Key[number], given: string): string {
  const column = quoted(name)
  switch (type) {
    case 'string':
      return `${column}::varchar`
    case 'int':
      return `try_cast(${column} as bigint)::varchar`
    case 'bool':
      return `try_cast(${column} as boolean)::varchar`
    case 'time':
      return `${given.startsWith('TIMESTAMP') ? `epoch_us(${column})` : `try_cast(${column} as bigint)`}::varchar`
    default:
      throw new WrongSpine(
        `"${name}" is a key of the type ${type}, which training sets do not join by: use a string or an int.`,
      )
  }
}

/** A text as JSON, byte for byte as JavaScript writes it. */
function jsonSql(sql: string): string {
  const quotes = `replace(replace(${sql}, '\\', '\\\\'), '"', '\\"')`
  const escaped = CONTROLS.reduce((text, code) => {
    const written = JSON.stringify(String.fromCharCode(code)).slice(1, -1)
    return `replace(${text}, chr(${code}), '${written}')`
  }, quotes)
  const hasControls = `regexp_matches(${sql}, '[\\x01-\\x1f]')`
  return `('"' || if(${hasControls}, ${escaped}, ${quotes}) || '"')`
}
