/** The body of `POST /v1/embeddings`, as OpenAI's clients write it. */
import type { Servable } from '#core/deps.ts'
import { AppError } from '#core/error.ts'

/** As OpenAI has it. */
export const INPUTS_MAX = 2_048

export type EmbeddingsRequest = {
  /** As the caller named it: a model, or `model:version` with a number or an alias. */
  model: string
  inputs: { texts: string[] } | { ids: number[][] }
  encoding: 'float' | 'base64'
  dimensions: number | null
  /** Names the prefix that the model's own kind of text takes, such as `query`. */
  inputType: string | null
}
type Json = Record<string, unknown>

/** The JSON object of a body. Throws `invalid_request`. */
export function objectOf(body: Uint8Array): Json {
  let given: unknown
  try {
    given = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(body))
  } catch (cause) {
    const why = (cause as Error).message
    throw new AppError('invalid_request', { public: `The body is not JSON in UTF-8: ${why}.` })
  }
  if (given !== null && typeof given === 'object' && !Array.isArray(given)) return given as Json
  throw new AppError('invalid_request', { public: 'The body must be a JSON object.' })
}

/** Which model, and of it which version; undefined: the one that serves. Throws `invalid_request`. */
export function modelNamed({ model }: Json): { name: string; version: string | undefined } {
  if (typeof model !== 'string' || model === '') {
    throw wrong('model', `"model" must be the name of a model, not ${shown(model)}.`)
  }
  const [name = '', version, ...rest] = model.split(':')
  if (rest.length === 0 && version !== '') return { name, version }
  throw wrong('model', `"${model}" names no model: write "name", "name:version" or "name:alias".`)
}

/** Throws `invalid_request` with the field that is wrong. */
export function embeddingsRequest(given: Json): EmbeddingsRequest {
  modelNamed(given)
  const { encoding_format: encoding = 'float', dimensions = null, input_type: type = null } = given
  if (encoding !== 'float' && encoding !== 'base64') {
    throw wrong(
      'encoding_format',
      `"encoding_format" is "float" or "base64", not ${shown(encoding)}.`,
    )
  }
  if (dimensions !== null && !(Number.isInteger(dimensions) && (dimensions as number) > 0)) {
    throw wrong(
      'dimensions',
      `"dimensions" must be a whole number from 1, not ${shown(dimensions)}.`,
    )
  }
  if (type !== null && typeof type !== 'string') {
    throw wrong('input_type', `"input_type" must be a text, not ${shown(type)}.`)
  }
  return {
    model: given.model as string,
    inputs: inputsOf(given.input),
    encoding,
    dimensions: dimensions as number | null,
    inputType: type,
  }
}

/** What is wrong with a field, for a program (`param`) and for a reader. */
export function wrong(field: string, detail: string): AppError {
  return new AppError('invalid_request', {
    public: detail,
    errors: [{ pointer: `/${field}`, detail }],
  })
}

export function notText({ model, version }: Pick<Servable, 'model' | 'version'>): AppError {
  return wrong(
    'model',
    `Version ${version} of "${model}" takes tensors and not texts: it was published without "embedding". Ask it at /v2/models/${model}/infer.`,
  )
}

function inputsOf(input: unknown): EmbeddingsRequest['inputs'] {
  if (typeof input === 'string') return { texts: [input] }
  if (!Array.isArray(input)) {
    throw wrong(
      'input',
      `"input" must be a text, a list of texts, or token ids, not ${shown(input)}.`,
    )
  }
  if (input.length === 0) throw wrong('input', '"input" is an empty list: give one text at least.')
  if (isIds(input)) return { ids: [input] }
  if (input.length > INPUTS_MAX) {
    throw wrong('input', `"input" has ${input.length} elements; ${INPUTS_MAX} is the most at once.`)
  }
  const isText = typeof input[0] === 'string'
  const odd = input.findIndex(each =>
    isText ? typeof each !== 'string' : !(Array.isArray(each) && isIds(each)),
  )
  if (odd < 0) return isText ? { texts: input } : { ids: input as number[][] }
  const detail = `"input" holds texts, or lists of token ids; element ${odd} is ${shown(input[odd])}.`
  throw wrong(`input/${odd}`, detail)
}

/** Token ids and nothing else; an empty list is none. */
function isIds(list: unknown[]): list is number[] {
  return list.length > 0 && list.every(id => Number.isInteger(id) && (id as number) >= 0)
}

function shown(value: unknown): string {
  if (value === undefined) return 'missing'
  const text = JSON.stringify(value)
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}
