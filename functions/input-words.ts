/** What is wrong with a part of a request, in words of JSON instead of the validator's; null leaves it to that. */
import type * as z from 'zod'

const KINDS: Record<string, string> = {
  array: 'a list',
  boolean: 'true or false',
  int: 'a whole number',
  number: 'a number',
  object: 'an object',
  record: 'an object',
  string: 'a text',
}

const FORMATS: Record<string, string> = {
  date: 'a day such as 2026-01-31',
  datetime: 'a time such as 2026-01-31T12:00:00Z',
}

/** Where a schema has words of its own, they come first. */
export function wordsOf(issue: z.core.$ZodRawIssue): string | null {
  switch (issue.code) {
    case 'invalid_type': {
      const right = KINDS[issue.expected] ?? issue.expected
      if (issue.input === undefined) return `it is missing, and must be ${right}`
      return `it must be ${right}, not ${kindOf(issue.input)}`
    }
    case 'invalid_value': {
      const right = issue.values.map(value => JSON.stringify(value)).join(', ')
      const many = issue.values.length > 1 ? 'one of ' : ''
      return `it must be ${many}${right}, not ${written(issue.input)}`
    }
    case 'invalid_format': {
      const right = FORMATS[issue.format]
      return right ? `it must be ${right}, not ${written(issue.input)}` : null
    }
    case 'unrecognized_keys':
      return `it takes no ${issue.keys.map(key => JSON.stringify(key)).join(', ')}`
    default:
      return null
  }
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  return KINDS[typeof value] ?? typeof value
}

/** Short values as they are. */
function written(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length <= 60 ? text : kindOf(value)
}
