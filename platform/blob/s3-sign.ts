/** Signs single requests of S3 (AWS Signature Version 4 in the query), for one key, length and checksum. */
import { GetObjectCommand, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import type { Blobs } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { checkKey, checkPart } from './key.ts'
import type { Measured, SignedRequest, ToJoin, ToSign } from './signed.ts'
import { partKey } from './upload.ts'

/** Long enough for a part on a slow line to begin. */
const EXPIRES_S = 300
/** Headers whose values S3 then insists on; in the query they would bind nobody who sends another body. */
const BOUND = ['content-length', 'x-amz-checksum-sha256', 'x-amz-meta-sha256']

export type BlobSigner = (request: ToSign) => Promise<SignedRequest>

/** `prefix` as for `s3Blobs`. Throws `invalid_request` for what is no key. */
export function s3Signer(o: { client: S3Client; bucket: string; prefix?: string }): BlobSigner {
  const { client, bucket: Bucket, prefix = '' } = o
  async function read(Key: string): Promise<SignedRequest> {
    const command = new GetObjectCommand({ Bucket, Key })
    return { url: await getSignedUrl(client, command, { expiresIn: EXPIRES_S }), headers: {} }
  }
  async function write(Key: string, { size, sha256 }: Measured): Promise<SignedRequest> {
    const ChecksumSHA256 = Buffer.from(sha256, 'hex').toString('base64')
    const bound = { ContentLength: size, ChecksumSHA256, Metadata: { sha256 } }
    const headers = {
      'content-length': String(size),
      'content-type': 'application/octet-stream',
      'x-amz-checksum-sha256': ChecksumSHA256,
      'x-amz-meta-sha256': sha256,
    }
    const url = await getSignedUrl(client, new PutObjectCommand({ Bucket, Key, ...bound }), {
      expiresIn: EXPIRES_S,
      signableHeaders: new Set(['host', ...BOUND]),
      unhoistableHeaders: new Set(BOUND),
    })
    return { url, headers }
  }
  return async request => {
    if (request.do === 'writePart') {
      checkPart(request.key, request.number)
      return write(`${prefix}uploads/${partKey(request.key, request.number)}`, request)
    }
    checkKey(request.key)
    const key = `${prefix}blobs/${request.key}`
    return request.do === 'read' ? read(key) : write(key, request)
  }
}

/** One blob from several, which go when it is stored; of no key, they go at once. */
export async function joinBlobs(blobs: Blobs, { key, pieces, ...limits }: ToJoin) {
  async function* bytes() {
    for (const piece of pieces) {
      const found = await blobs.get(piece)
      if (found) yield* found.body
      else throw new AppError('conflict', { internal: `piece ${piece} of ${key} is gone` })
    }
  }
  if (pieces.some(piece => !piece.startsWith('pieces/'))) {
    throw new AppError('invalid_request', { public: 'Pieces have keys below pieces/ alone.' })
  }
  const info = key === null ? null : await blobs.put(key, bytes(), limits)
  for (const piece of pieces) await blobs.delete(piece)
  return info
}
