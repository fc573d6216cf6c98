/**
 * Uploads in parts over any blob store: a part is a blob of a second store, and completing reads the
 * parts once to verify the whole and join them. Every step may be the last of this process: the next
 * call finds either the finished blob or all of its parts.
 */
import type { BlobInfo, BlobPart, Blobs } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { checkKey, checkPart, type PlainBlobs } from './key.ts'

const DELETES_AT_ONCE = 16

export type Uploads = Pick<Blobs, 'putPart' | 'listParts' | 'completeUpload' | 'abortUpload'>

/** One blob of parts, in their order; throws `digest_mismatch`, and a retryable `conflict` where one is gone. */
export type Join = (
  parts: readonly string[],
  key: string,
  limits: { sha256: string; sizeMax: number },
) => Promise<BlobInfo>

/** Reads and writes, which every store can. */
export function rewritten(blobs: PlainBlobs, parts: PlainBlobs): Join {
  async function* bytes(keys: readonly string[]) {
    for (const [at, key] of keys.entries()) {
      const part = await parts.get(key)
      if (!part) throw partGone(at + 1)
      yield* part.body
    }
  }
  return (keys, key, limits) => blobs.put(key, bytes(keys), limits)
}

export function partGone(number: number): AppError {
  return new AppError('conflict', {
    public: `Part ${number} was removed while the upload was completed.`,
    retryable: true,
  })
}

/** `parts` holds keys of its own: `tenant/rest+of+the+upload's+key=00001`, no folder per upload. */
export function uploads(
  blobs: PlainBlobs,
  parts: PlainBlobs,
  join: Join = rewritten(blobs, parts),
): Uploads {
  async function listParts(uploadKey: string): Promise<BlobPart[]> {
    checkPart(uploadKey, 1)
    const prefix = partsPrefix(uploadKey)
    const found: BlobPart[] = []
    for (let after: string | undefined; ; ) {
      const page = await parts.list(prefix, { after })
      for (const { key, size, sha256 } of page) {
        found.push({ number: Number(key.slice(prefix.length)), size, sha256 })
      }
      after = page.at(-1)?.key
      if (after === undefined) return found
    }
  }

  async function abortUpload(uploadKey: string): Promise<void> {
    const found = await listParts(uploadKey)
    for (let at = 0; at < found.length; at += DELETES_AT_ONCE) {
      const some = found.slice(at, at + DELETES_AT_ONCE)
      await Promise.all(some.map(({ number }) => parts.delete(partKey(uploadKey, number))))
    }
  }

  return {
    listParts,
    abortUpload,
    async putPart(uploadKey, number, body, options) {
      checkPart(uploadKey, number)
      const { size, sha256 } = await parts.put(partKey(uploadKey, number), body, options)
      return { number, size, sha256 }
    },
    async completeUpload(uploadKey, key, expected) {
      checkKey(key)
      const isDone = async () => {
        const info = await blobs.head(key)
        return info?.size === expected.size && info.sha256 === expected.sha256 ? info : null
      }
      let info = await isDone()
      if (!info) {
        const found = await listParts(uploadKey)
        try {
          checkComplete(found, expected.size)
          const limits = { sha256: expected.sha256, sizeMax: expected.size }
          const keys = found.map(({ number }) => partKey(uploadKey, number))
          info = await join(keys, key, limits)
        } catch (error) {
          // Another call may have completed it meanwhile and removed the parts under our hands.
          info = await isDone()
          if (!info) throw error
        }
      }
      await abortUpload(uploadKey)
      return info
    },
  }
}

function checkComplete(parts: BlobPart[], size: number): void {
  if (parts.length === 0) {
    throw new AppError('not_found', { public: 'There is no such upload, or it has no parts yet.' })
  }
  const missing = parts.findIndex((part, at) => part.number !== at + 1)
  if (missing >= 0) {
    throw new AppError('conflict', {
      public: `Part ${missing + 1} is missing; stored are ${parts.map(p => p.number).join(', ')}.`,
    })
  }
  const sum = parts.reduce((total, part) => total + part.size, 0)
  if (sum !== size) {
    throw new AppError('digest_mismatch', {
      public: `The parts have ${sum} bytes together; ${size} were declared.`,
    })
  }
}

// `+` and `=` are in no key, so that no upload's prefix begins another's: `a=`, `a1=`, `a+b=`.
function partsPrefix(uploadKey: string): string {
  const [tenant, ...rest] = uploadKey.split('/')
  return `${[tenant, rest.join('+')].filter(Boolean).join('/')}=`
}

export function partKey(uploadKey: string, number: number): string {
  return `${partsPrefix(uploadKey)}${String(number).padStart(5, '0')}`
}
