/**
 * The one catalogue of error codes. A code is stable: clients branch on it. `status` is the HTTP
 * status, `title` the public text without the case at hand, which `AppError.public` adds.
 * Documentation of each code is at `/docs/errors#<code>`.
 */
export const ERRORS = {
  invalid_request: { status: 400, title: 'The request is malformed.' },
  invalid_input: { status: 400, title: 'The tensors do not fit the model.' },
  invalid_cursor: { status: 400, title: 'The cursor is not one that this listing gave out.' },
  unauthenticated: { status: 401, title: 'No valid API key was given.' },
  invalid_signature: { status: 401, title: 'The request is not signed as this needs.' },
  insufficient_scope: { status: 403, title: 'The API key lacks a scope that this needs.' },
  not_found: { status: 404, title: 'There is no such thing here.' },
  method_not_allowed: { status: 405, title: 'This path does not take this method.' },
  conflict: { status: 409, title: 'The state of the resource does not allow this.' },
  idempotency_in_flight: { status: 409, title: 'A request with this Idempotency-Key is running.' },
  stale_epoch: { status: 409, title: 'This lease has ended; another runner holds the step.' },
  in_use: { status: 409, title: 'The resource is in use.' },
  event_conflict: { status: 409, title: 'An event with this source and id has another body.' },
  not_proven: { status: 409, title: 'A version must be proven before it serves.' },
  not_loaded: { status: 409, title: 'The version could not be loaded, so nothing was switched.' },
  plan_wanted: { status: 409, title: 'The object does not know this plan; send it along.' },
  payload_too_large: { status: 413, title: 'The body is larger than this route takes.' },
  unsupported_media_type: {
    status: 415,
    title: 'The content type or encoding is not one taken here.',
  },
  range_not_satisfiable: { status: 416, title: 'The range lies outside what there is.' },
  invalid_body: { status: 422, title: 'The body does not fit what this route takes.' },
  invalid_model: { status: 422, title: 'The model file cannot be served.' },
  invalid_event: { status: 422, title: 'The event does not fit its contract.' },
  invalid_definition: { status: 422, title: 'The definition cannot be compiled.' },
  idempotency_mismatch: { status: 422, title: 'This Idempotency-Key was used with another body.' },
  digest_mismatch: { status: 422, title: 'The bytes do not have the digest that was declared.' },
  not_fresh: { status: 425, title: 'What must be seen first has not been applied yet.' },
  rate_limited: { status: 429, title: 'The rate limit of this tenant is used up.' },
  canceled: { status: 499, title: 'The caller left before the work began.' },
  internal: { status: 500, title: 'Something went wrong on our side.' },
  inference_failed: { status: 500, title: 'The model failed on this input.' },
  unsupported: { status: 501, title: 'This part of the protocol is not offered here.' },
  unavailable: { status: 503, title: 'The service cannot take this now.' },
  overloaded: { status: 503, title: 'The queue of this model is full.' },
  deadline_exceeded: { status: 504, title: 'The deadline passed before the work was done.' },
  insufficient_storage: { status: 507, title: 'The disk is full.' },
} as const satisfies Record<string, { status: number; title: string }>

export type ErrorCode = keyof typeof ERRORS
