/** One S3 object from pieces: it appears whole at the end, or the pieces are given up. */
import { createHash } from 'node:crypto'
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'

/**
 * Every piece but the last has at least 5 MiB, as S3 demands. What a killed process leaves is for the
 * bucket's lifecycle rule on unfinished uploads.
 */
export async function multipart(
  o: { client: S3Client; Bucket: string; Key: string; sha256?: string },
  pieces: AsyncIterable<Uint8Array>,
): Promise<void> {
  const { client, Bucket, Key } = o
  const { UploadId } = await client.send(
    new CreateMultipartUploadCommand({
      Bucket,
      Key,
      ChecksumAlgorithm: 'SHA256',
      Metadata: o.sha256 ? { sha256: o.sha256 } : undefined,
    }),
  )
  try {
    const Parts: CompletedPart[] = []
    for await (const Body of pieces) {
      const PartNumber = Parts.length + 1
      const ChecksumSHA256 = createHash('sha256').update(Body).digest('base64')
      const part = { Bucket, Key, UploadId, PartNumber, Body, ChecksumSHA256 }
      const { ETag } = await client.send(new UploadPartCommand(part))
      Parts.push({ PartNumber, ETag, ChecksumSHA256 })
    }
    const MultipartUpload = { Parts }
    await client.send(
      new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload }),
    )
  } catch (error) {
    const given = new AbortMultipartUploadCommand({ Bucket, Key, UploadId })
    await client.send(given).catch(() => {})
    throw error
  }
}
