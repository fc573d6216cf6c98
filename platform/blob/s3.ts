/** Blobs in S3. An object carries its digest in its metadata; parts of uploads are objects of their own. */
import { createHash, randomUUID } from 'node:crypto'
import {
  CopyObjectCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import type { BlobInfo, Blobs } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import { withLocalFiles } from './cache.ts'
import { checkDigest, checkSize } from './disk.ts'
import { cutRange, type PlainBlobs, withCheckedKeys } from './key.ts'
import { nameOf, s3Fault, statusOf } from './s3-client.ts'
import { copySource, multipart, type Piece, piecesFrom } from './s3-multipart.ts'
import { type Join, rewritten, uploads } from './upload.ts'
import { inPieces } from './wire.ts'

/** Bodies up to this go in one call; of a larger one this much is held at a time. */
const PIECE_BYTES = 8_388_608
const LIST_MAX = 1_000
const HEADS_AT_ONCE = 16

type Place = { client: S3Client; bucket: string }
type Limits = { sha256?: string; sizeMax?: number }
type Objects = PlainBlobs & {
  /** One object from others of the bucket, by their whole keys. */
  join(sources: readonly string[], key: string, limits: Limits): Promise<BlobInfo>
}

/** `cacheFolder` holds the copies that `localFile` gives out, up to `cacheBytesMax` together. */
export function s3Blobs(
  o: Place & { cacheFolder: string; cacheBytesMax?: number; prefix?: string },
): Blobs {
  const base = o.prefix ?? ''
  const blobs = objects(o, base, 'blobs/')
  const parts = objects(o, base, 'uploads/')
  const join: Join = (found, key, limits) =>
    // Of so few bytes one object is written as soon as they are read.
    limits.sizeMax < PIECE_BYTES
      ? rewritten(blobs, parts)(found, key, limits)
      : blobs.join(
          found.map(part => `${base}uploads/${part}`),
          key,
          limits,
        )
  const all = { ...withCheckedKeys(blobs), ...uploads(blobs, parts, join) }
  return withLocalFiles(all, { folder: o.cacheFolder, bytesMax: o.cacheBytesMax })
}

function objects({ client, bucket: Bucket }: Place, base: string, kind: string): Objects {
  const prefix = base + kind
  async function head(key: string): Promise<BlobInfo | null> {
    const found = await orNull(client.send(new HeadObjectCommand({ Bucket, Key: prefix + key })))
    return found && infoOf(key, found.ContentLength, found.Metadata)
  }

  async function putSmall(key: string, bytes: Uint8Array, sha256: string) {
    await ask(
      client.send(
        new PutObjectCommand({
          Bucket,
          Key: prefix + key,
          Body: bytes,
          ChecksumSHA256: Buffer.from(sha256, 'hex').toString('base64'),
          Metadata: { sha256 },
        }),
      ),
    )
  }

  /** Under another key first when the digest is not known yet: metadata is set before the bytes. */
  async function putLarge(key: string, pieces: AsyncIterable<Piece>, limits: Limits) {
    const hash = createHash('sha256')
    let size = 0
    async function* counted() {
      for await (const piece of pieces) {
        size += piece.bytes.byteLength
        checkSize(size, limits.sizeMax)
        hash.update(piece.bytes)
        yield piece
      }
      checkDigest(hash.copy().digest('hex'), limits.sha256)
    }
    const to = limits.sha256 ? prefix + key : `${base}unfinished/${randomUUID()}`
    await ask(multipart({ client, Bucket, Key: to, sha256: limits.sha256 }, counted()))
    const sha256 = hash.digest('hex')
    if (!limits.sha256) {
      const copy = {
        CopySource: copySource(Bucket, to),
        MetadataDirective: 'REPLACE',
      } as const
      const target = { Bucket, Key: prefix + key, Metadata: { sha256 } }
      await ask(client.send(new CopyObjectCommand({ ...copy, ...target })))
      await ask(client.send(new DeleteObjectCommand({ Bucket, Key: to })))
    }
    return { key, size, sha256 }
  }

  return {
    head,
    join: (sources, key, limits) =>
      putLarge(key, piecesFrom({ client, bucket: Bucket }, sources), limits),
    async put(key, body, limits = {}) {
      const pieces = inPieces(body, PIECE_BYTES)
      const first = (await pieces.next()).value ?? new Uint8Array()
      checkSize(first.byteLength, limits.sizeMax)
      if (first.byteLength === PIECE_BYTES) {
        return putLarge(key, asPieces(startingWith(first, pieces)), limits)
      }
      const sha256 = createHash('sha256').update(first).digest('hex')
      checkDigest(sha256, limits.sha256)
      await putSmall(key, first, sha256)
      return { key, size: first.byteLength, sha256 }
    },
    async get(key, range) {
      const nothing = async () => {
        const info = await head(key)
        return info && { info, body: startingWith(new Uint8Array()) }
      }
      if (range && cutRange(Number.MAX_SAFE_INTEGER, range).start === range.end) return nothing()
      const Range = range && `bytes=${range.start}-${range.end - 1}`
      try {
        const found = await orNull(
          client.send(new GetObjectCommand({ Bucket, Key: prefix + key, Range })),
        )
        if (!found) return null
        const size = Number(found.ContentRange?.split('/')[1] ?? found.ContentLength)
        const info = infoOf(key, size, found.Metadata)
        return { info, body: found.Body as unknown as AsyncIterable<Uint8Array> }
      } catch (error) {
        if (range && statusOf(error) === 416) return nothing()
        throw error
      }
    },
    async delete(key) {
      await ask(client.send(new DeleteObjectCommand({ Bucket, Key: prefix + key })))
    },
    async list(given, { after, max = LIST_MAX } = {}) {
      const StartAfter = after === undefined ? undefined : prefix + after
      const command = { Bucket, Prefix: prefix + given, StartAfter, MaxKeys: max }
      const { Contents = [] } = await ask(client.send(new ListObjectsV2Command(command)))
      const keys = Contents.map(object => object.Key!.slice(prefix.length))
      const infos: (BlobInfo | null)[] = []
      // A listing has no metadata; each digest is a question of its own.
      for (let at = 0; at < keys.length; at += HEADS_AT_ONCE) {
        infos.push(...(await Promise.all(keys.slice(at, at + HEADS_AT_ONCE).map(head))))
      }
      return infos.filter(info => info !== null)
    },
  }
}

async function* asPieces(all: AsyncIterable<Uint8Array>): AsyncGenerator<Piece> {
  for await (const bytes of all) yield { bytes }
}

async function* startingWith(first: Uint8Array, rest?: AsyncIterable<Uint8Array>) {
  if (first.byteLength > 0) yield first
  if (rest) yield* rest
}

function infoOf(key: string, size = 0, metadata: Record<string, string> = {}): BlobInfo {
  const { sha256 } = metadata
  if (!sha256)
    throw new AppError('internal', { internal: `S3 object ${key} has no sha256 metadata` })
  return { key, size, sha256 }
}

async function orNull<T>(asked: Promise<T>): Promise<T | null> {
  try {
    return await asked
  } catch (error) {
    // A bucket that is not there is not a blob that is not there.
    if (statusOf(error) === 404 && nameOf(error) !== 'NoSuchBucket') return null
    throw s3Fault(error)
  }
}

async function ask<T>(asked: Promise<T>): Promise<T> {
  try {
    return await asked
  } catch (error) {
    throw s3Fault(error)
  }
}
