/**
 * What every queue driver takes, checked before any of them is asked: the narrowest limits of the
 * engines, so that a message that one engine stores is never refused by another.
 */
import { AppError } from '#core/error.ts'

/**
 * Of one body in UTF-8. Messages are meant to hold references; this is what a place can hold ten of. SQS takes
 * less at once, and its driver puts the rest into blobs.
 */
export const BODY_BYTES_MAX = 4_194_304
const DELAY_S_MAX = 900
const VISIBILITY_S_MAX = 43_200
const MESSAGES_PER_RECEIVE_MAX = 10
const WAIT_S_MAX = 20
const REDRIVE_MAX = 1_000

// SQS takes the characters of XML 1.0; PostgreSQL refuses NUL; a lone surrogate is no UTF-8 at all.
const UNSENDABLE = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u

export type Outgoing = { body: string; delayS?: number }

/** Throws `payload_too_large` or `invalid_request` for a message that some engine would refuse. */
export function checkOutgoing(messages: Outgoing[]): void {
  for (const [at, { body, delayS }] of messages.entries()) {
    const bytes = Buffer.byteLength(body)
    if (bytes > BODY_BYTES_MAX) {
      throw new AppError('payload_too_large', {
        public: `Message ${at} has ${bytes} bytes; a queue takes up to ${BODY_BYTES_MAX}. Store it as a blob and send its key.`,
      })
    }
    const bad = bytes === 0 ? 'is empty' : UNSENDABLE.test(body) ? 'has a control character' : ''
    if (bad) refuse(`Message ${at} ${bad}; a queue takes text such as JSON.`)
    if (delayS !== undefined) checkSeconds('delayS', delayS, DELAY_S_MAX)
  }
}

/** Throws `invalid_request` for a receive that some engine would refuse. */
export function checkReceive(o: { max: number; waitS: number; visibilityS?: number }): void {
  if (!Number.isInteger(o.max) || o.max < 1 || o.max > MESSAGES_PER_RECEIVE_MAX) {
    refuse(`max is ${o.max}; a receive takes 1 to ${MESSAGES_PER_RECEIVE_MAX} messages.`)
  }
  checkSeconds('waitS', o.waitS, WAIT_S_MAX)
  if (o.visibilityS !== undefined) checkSeconds('visibilityS', o.visibilityS, VISIBILITY_S_MAX)
}

export function checkRedrive(max: number): void {
  if (Number.isInteger(max) && max >= 1 && max <= REDRIVE_MAX) return
  refuse(`max is ${max}; 1 to ${REDRIVE_MAX} dead messages are sent back at once.`)
}

export function checkVisibility(visibilityS: number): void {
  checkSeconds('visibilityS', visibilityS, VISIBILITY_S_MAX)
}

function checkSeconds(name: string, value: number, max: number): void {
  if (!(value >= 0 && value <= max))
    refuse(`${name} is ${value}; 0 to ${max} seconds are possible.`)
}

function refuse(text: string): never {
  throw new AppError('invalid_request', { public: text })
}
