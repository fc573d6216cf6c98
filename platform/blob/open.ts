/** Which store a place has follows from its environment: S3 where that names a bucket, else a folder. */
import type { Blobs } from '#core/deps.ts'
import { folderBlobs } from './folder.ts'
import type { BlobSigner } from './s3-sign.ts'

/** Of the copies of blobs that a machine keeps for those who want a file. */
const CACHE_BYTES_MAX = 20 * 1024 ** 3

export type BlobPlace = {
  /** Null: blobs are in the folder. */
  bucket: string | null
  folder: string
  /** Of copies of what is in the bucket; several processes may share it. */
  cacheFolder: string
}

/** Region, endpoint and credentials are the SDK's own to find. It is loaded only where it is used. */
export async function openBlobs({ bucket, folder, cacheFolder }: BlobPlace): Promise<Blobs> {
  if (bucket === null) return folderBlobs({ root: folder })
  const [{ s3Blobs }, { s3Client }] = await Promise.all([
    import('./s3.ts'),
    import('./s3-client.ts'),
  ])
  return s3Blobs({ client: s3Client(), bucket, cacheFolder, cacheBytesMax: CACHE_BYTES_MAX })
}

/** What signs requests for those who have no credentials; null where blobs are in a folder. */
export async function openSigner({ bucket }: BlobPlace): Promise<BlobSigner | null> {
  if (bucket === null) return null
  const [{ s3Client }, { s3Signer }] = await Promise.all([
    import('./s3-client.ts'),
    import('./s3-sign.ts'),
  ])
  return s3Signer({ client: s3Client(), bucket })
}
