/**
 * Branded ids: a prefix that names the noun, then a time-ordered body, so that a model id cannot be
 * passed where a tenant id is meant and new rows land at the right edge of their index.
 * Body: 48 bits of Unix milliseconds and 80 random bits in Crockford base 32 (the ULID layout).
 */
declare const brand: unique symbol
type Branded<Name extends string> = string & { readonly [brand]: Name }

export type TenantId = Branded<'tenant'>
export type KeyId = Branded<'key'>
export type UploadId = Branded<'upload'>
export type VersionId = Branded<'version'>
export type RunId = Branded<'run'>
export type StepId = Branded<'step'>
export type RequestId = Branded<'request'>
export type AuditId = Branded<'audit'>
export type BatchId = Branded<'batch'>
export type SegmentId = Branded<'segment'>
export type ErasureId = Branded<'erasure'>
export type ExportId = Branded<'export'>
export type HookId = Branded<'hook'>
export type SwitchId = Branded<'switch'>
export type RolloutId = Branded<'rollout'>
export type FileId = Branded<'file'>

const PREFIXES = {
  tenant: 'ten',
  key: 'key',
  upload: 'upl',
  version: 'ver',
  run: 'run',
  step: 'stp',
  request: 'req',
  audit: 'aud',
  batch: 'bat',
  segment: 'seg',
  erasure: 'ers',
  export: 'exp',
  hook: 'hok',
  switch: 'swi',
  rollout: 'rol',
  file: 'fil',
} as const

type Noun = keyof typeof PREFIXES
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'
const BODY = /^[0-9a-hjkmnp-tv-z]{26}$/

/** A new id, ordered by time to the millisecond. */
export function newId<N extends Noun>(noun: N, nowMs: number = Date.now()): Branded<N> {
  return `${PREFIXES[noun]}_${timePart(nowMs)}${randomPart()}` as Branded<N>
}

/** When an id was made, in Unix milliseconds. */
export function timeOfId(id: string): number {
  let ms = 0
  for (const char of id.slice(4, 14)) ms = ms * 32 + ALPHABET.indexOf(char)
  return ms
}

/** True when the text has the form of an id of this noun; says nothing about whether it exists. */
export function isId<N extends Noun>(noun: N, text: string): text is Branded<N> {
  const prefix = `${PREFIXES[noun]}_`
  return text.startsWith(prefix) && BODY.test(text.slice(prefix.length))
}

let lastMs = -1
let lastTime = ''

function timePart(nowMs: number): string {
  if (nowMs === lastMs) return lastTime
  let rest = nowMs
  let text = ''
  for (let i = 0; i < 10; i++) {
    text = ALPHABET[rest % 32] + text
    rest = Math.floor(rest / 32)
  }
  lastMs = nowMs
  lastTime = text
  return text
}

/** Pairs of characters for ten bits at a time: half as many steps per id. */
const PAIRS = Array.from({ length: 1024 }, (_, i) => ALPHABET[i >> 5]! + ALPHABET[i & 31]!)
// Random bits are drawn in pages: one call of the generator per id costs more than the id itself.
const page = new Uint16Array(800)
let pageAt = page.length

function randomPart(): string {
  if (pageAt + 8 > page.length) {
    crypto.getRandomValues(page)
    pageAt = 0
  }
  let text = ''
  for (let i = 0; i < 8; i++) text += PAIRS[page[pageAt + i]! & 1023]
  pageAt += 8
  return text
}
