/** The form of blob keys, the same on every engine: what is a path here must stay inside its folder. */
import type { Blobs } from '#core/deps.ts'
import { AppError } from '#core/error.ts'

/** A file system's name ends at 255 bytes and the drivers add some of their own. */
const KEY_LENGTH_MAX = 512
const SEGMENT_LENGTH_MAX = 180
const PART_NUMBER_MAX = 10_000
const SEGMENT = /^[A-Za-z0-9._-]+$/

/** Throws `invalid_request` unless the key is `/`-separated segments of `[A-Za-z0-9._-]`, none of them dots. */
export function checkKey(key: string): void {
  if (key.length > KEY_LENGTH_MAX) refuse(key, `is longer than ${KEY_LENGTH_MAX} characters`)
  for (const segment of key.split('/')) {
    if (segment === '') refuse(key, 'has an empty segment')
    if (segment === '.' || segment === '..') refuse(key, `has the segment "${segment}"`)
    if (segment.length > SEGMENT_LENGTH_MAX) {
      refuse(key, `has a segment of more than ${SEGMENT_LENGTH_MAX} characters`)
    }
    if (!SEGMENT.test(segment)) refuse(key, 'has a character outside A-Z a-z 0-9 . _ -')
  }
}

/** A prefix may be empty or end anywhere; the rest is as for a key. */
export function checkPrefix(prefix: string): void {
  if (prefix !== '') checkKey(prefix.endsWith('/') ? prefix.slice(0, -1) : prefix)
}

export function checkPart(uploadKey: string, number: number): void {
  checkKey(uploadKey)
  // Parts are kept under the upload's whole key as one name.
  if (uploadKey.length > SEGMENT_LENGTH_MAX) {
    refuse(uploadKey, `is longer than the ${SEGMENT_LENGTH_MAX} characters of an upload's key`)
  }
  if (!Number.isInteger(number) || number < 1 || number > PART_NUMBER_MAX) {
    throw new AppError('invalid_request', {
      public: `Part ${number} is not possible: parts are numbered from 1 to ${PART_NUMBER_MAX}.`,
    })
  }
}

/** What a store must do; uploads and local files are built upon it. */
export type PlainBlobs = Pick<Blobs, 'put' | 'get' | 'head' | 'delete' | 'list'>

/** The same store for keys from outside. */
export function withCheckedKeys(blobs: PlainBlobs): PlainBlobs {
  return {
    async put(key, body, options) {
      checkKey(key)
      return blobs.put(key, body, options)
    },
    async get(key, range) {
      checkKey(key)
      return blobs.get(key, range)
    },
    async head(key) {
      checkKey(key)
      return blobs.head(key)
    },
    async delete(key) {
      checkKey(key)
      return blobs.delete(key)
    },
    async list(prefix, options) {
      checkPrefix(prefix)
      return blobs.list(prefix, options)
    },
  }
}

/** The range cut to what there is: beyond the end there are no bytes, and that is no error. */
export function cutRange(size: number, range?: { start: number; end: number }) {
  if (!range) return { start: 0, end: size }
  const { start, end } = range
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || end < start) {
    throw new AppError('invalid_request', {
      public: `The range ${start} to ${end} is not one: it needs 0 ≤ start ≤ end.`,
    })
  }
  return { start: Math.min(start, size), end: Math.min(end, size) }
}

function refuse(key: string, what: string): never {
  throw new AppError('invalid_request', {
    public: `The blob key "${key.slice(0, 100)}" ${what}; it should look like tenant/name/part-1.bin.`,
  })
}
