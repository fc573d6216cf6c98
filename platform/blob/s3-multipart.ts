/**
 * One S3 object from pieces: it appears whole at the end, or the pieces are given up. Those that are objects
 * already are read once to be verified, and copied by S3 itself.
 */
import { createHash } from 'node:crypto'
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  type S3Client,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3'
import { partGone } from './upload.ts'

/** As many bytes as S3 demands of every piece but the last. */
const PIECE_BYTES_MIN = 5_242_880
/** Pieces under way side by side; so many are held in memory. */
const AT_ONCE = 4
/** Objects read side by side; with 32 MiB, the most that a part may have, 128 MiB are held. */
const AHEAD = 4

/** Bytes of the object to be; `from` where they are an object of the bucket already, which S3 then copies itself. */
export type Piece = { bytes: Uint8Array; from?: { key: string; etag: string } }
type Target = { client: S3Client; Bucket: string; Key: string; sha256?: string }

/**
 * Every piece but the last has at least `PIECE_BYTES_MIN`. S3 compares each with the SHA-256 of the bytes that
 * were given, those that it copies as well. What a killed process leaves is for the bucket's lifecycle rule on
 * unfinished uploads.
 */
export async function multipart(target: Target, pieces: AsyncIterable<Piece>): Promise<void> {
  const { client, Bucket, Key, sha256 } = target
  const { UploadId } = await client.send(
    new CreateMultipartUploadCommand({
      Bucket,
      Key,
      ChecksumAlgorithm: 'SHA256',
      Metadata: sha256 ? { sha256 } : undefined,
    }),
  )
  const sending: Promise<CompletedPart>[] = []
  try {
    for await (const piece of pieces) {
      const sent = send(target, UploadId!, sending.length + 1, piece)
      // Heard below, at the latest with the others.
      sent.catch(() => {})
      sending.push(sent)
      await sending[sending.length - AT_ONCE]
    }
    const MultipartUpload = { Parts: await Promise.all(sending) }
    await client.send(
      new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload }),
    )
  } catch (error) {
    await Promise.allSettled(sending)
    const given = new AbortMultipartUploadCommand({ Bucket, Key, UploadId })
    await client.send(given).catch(() => {})
    throw error
  }
}

async function send(
  { client, Bucket, Key }: Target,
  UploadId: string,
  PartNumber: number,
  { bytes, from }: Piece,
): Promise<CompletedPart> {
  const ChecksumSHA256 = createHash('sha256').update(bytes).digest('base64')
  const part = { Bucket, Key, UploadId, PartNumber }
  if (!from) {
    const sent = await client.send(new UploadPartCommand({ ...part, Body: bytes, ChecksumSHA256 }))
    return { PartNumber, ETag: sent.ETag, ChecksumSHA256 }
  }
  const source = { CopySource: copySource(Bucket, from.key), CopySourceIfMatch: from.etag }
  const { CopyPartResult } = await client.send(new UploadPartCopyCommand({ ...part, ...source }))
  return { PartNumber, ETag: CopyPartResult?.ETag, ChecksumSHA256 }
}

export const copySource = (bucket: string, key: string) => `${bucket}/${encodeURI(key)}`

/**
 * The objects in order. One that is too small to be a piece goes together with those behind it, as bytes. Throws
 * a retryable `conflict` where one is gone; that one was replaced after it was read, S3 says when it copies.
 */
export async function* piecesFrom(
  { client, bucket }: { client: S3Client; bucket: string },
  keys: readonly string[],
): AsyncGenerator<Piece> {
  let held: Uint8Array[] = []
  let heldBytes = 0
  for await (const { bytes, from, isLast } of sources(client, bucket, keys)) {
    if (held.length === 0 && (bytes.byteLength >= PIECE_BYTES_MIN || isLast)) {
      // S3 copies no object without bytes as a part.
      if (bytes.byteLength > 0) yield { bytes, from }
      continue
    }
    held.push(bytes)
    heldBytes += bytes.byteLength
    if (heldBytes < PIECE_BYTES_MIN && !isLast) continue
    yield { bytes: Buffer.concat(held) }
    held = []
    heldBytes = 0
  }
}

async function* sources(client: S3Client, Bucket: string, keys: readonly string[]) {
  const reading: (Promise<Required<Piece>> | null)[] = []
  for (let at = 0; at < keys.length; at++) {
    while (reading.length < Math.min(at + AHEAD, keys.length)) {
      const source = read(client, Bucket, keys[reading.length]!, reading.length + 1)
      // Heard when its turn comes, if it does.
      source.catch(() => {})
      reading.push(source)
    }
    const source = await reading[at]!
    reading[at] = null
    yield { ...source, isLast: at === keys.length - 1 }
  }
}

async function read(client: S3Client, Bucket: string, key: string, number: number) {
  try {
    const { Body, ETag } = await client.send(new GetObjectCommand({ Bucket, Key: key }))
    return { bytes: await Body!.transformToByteArray(), from: { key, etag: ETag! } }
  } catch (error) {
    if (error instanceof Error && error.name === 'NoSuchKey') throw partGone(number)
    throw error
  }
}
