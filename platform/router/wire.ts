/**
 * The form of an inference between a Worker and the router: one signed POST, whose body is the
 * caller's own bytes. Which version is meant stands in the path by the hash of its description; a
 * router that has not met it asks for it once, and then it travels in front of the body.
 */
import type { InferenceCall, LoadCall, Servable } from '#core/deps.ts'
import { AppError } from '#core/error.ts'

export const INFER_PATH = '/infer'
/** A version to be made warm: the question as JSON. */
export const LOAD_PATH = '/load'
/** Memory to be given back, and what runners counted: each a question as JSON. */
export const UNLOAD_PATH = '/unload'
export const STATISTICS_PATH = '/statistics'
export const READY_PATH = '/ready'
/** What an edge has counted since it last told, as JSON; answered with everybody's readings, or without. */
export const MEASURES_PATH = '/measures'
export const GROWTH_PATH = '/measures/growth'
/** On a 409: send it again with the version's description. */
export const MODEL_WANTED_HEADER = 'galley-model-wanted'
export const JSON_LENGTH_HEADER = 'galley-json-length'
export const RECEIPT_HEADER = 'galley-receipt'
export const COMPUTE_HEADER = 'galley-compute-us'
/** The description of a version: its signature and the names of its files. */
export const MODEL_BYTES_MAX = 1 << 20

const KINDS = ['shadow', 'trial'] as const

export type InferTarget = {
  /** SHA-256 of the description's bytes. */
  modelHash: string
  deadline: number
  jsonLength: number | null
  form?: InferenceCall['form']
  /** Bytes of the description in front of the body; 0: the router knows it. */
  modelBytes: number
  kind?: InferenceCall['kind']
}

/** Path and query, all of it under the signature. */
export function pathOf(target: InferTarget): string {
  const { modelHash, deadline, jsonLength, form, modelBytes, kind } = target
  const json = jsonLength === null ? '' : `&json=${jsonLength}`
  const more = (form ? `&form=${form}` : '') + (kind ? `&kind=${kind}` : '')
  return `${INFER_PATH}?model=${modelHash}&deadline=${deadline}${json}&head=${modelBytes}${more}`
}

/** Throws `invalid_request`: both halves are ours, so this means that they are of two versions. */
export function targetOf(query: URLSearchParams): InferTarget {
  const json = query.get('json')
  const kind = KINDS.find(each => each === query.get('kind'))
  const target = {
    modelHash: query.get('model') ?? '',
    deadline: Number(query.get('deadline')),
    jsonLength: json === null ? null : Number(json),
    ...(query.get('form') === 'embeddings' && { form: 'embeddings' as const }),
    modelBytes: Number(query.get('head')),
    ...(kind && { kind }),
  }
  const { deadline, jsonLength, modelBytes } = target
  const isCount = (n: number) => Number.isSafeInteger(n) && n >= 0
  const isSound =
    [deadline, jsonLength ?? 0, modelBytes].every(isCount) && modelBytes <= MODEL_BYTES_MAX
  if (isSound && /^[0-9a-f]{64}$/.test(target.modelHash)) return target
  throw new AppError('invalid_request', {
    public: 'An inference names model, deadline and head in its query.',
  })
}

/** What `POST /load` takes; who asks stands in the signature. */
export type LoadBody = Omit<LoadCall, 'call'>

export function modelFrom(bytes: Uint8Array): Servable {
  return JSON.parse(new TextDecoder().decode(bytes)) as Servable
}
