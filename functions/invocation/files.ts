/** Blobs of the cloud, and the folders in which files of the log are made on their way there. */
import { mkdir } from 'node:fs/promises'
import { s3Blobs } from '#platform/blob/s3.ts'
import { s3Client } from '#platform/blob/s3-client.ts'
import { type BlobSigner, s3Signer } from '#platform/blob/s3-sign.ts'
import { inferenceFilesIn } from '../segments/inference-files.ts'
import { spoolsIn } from '../segments/spool.ts'
import { readPlaces } from './env.ts'

/** Of Lambda's own disk: the one folder that a function may write. */
const SCRATCH = '/tmp/galley'

export function openBlobs(cacheBytesMax: number) {
  const { GALLEY_BUCKET: bucket } = readPlaces(['GALLEY_BUCKET'])
  return s3Blobs({
    client: s3Client(),
    bucket,
    cacheFolder: `${SCRATCH}/blobs`,
    cacheBytesMax,
  })
}

export function signBlobs(): BlobSigner {
  const { GALLEY_BUCKET: bucket } = readPlaces(['GALLEY_BUCKET'])
  return s3Signer({ client: s3Client(), bucket })
}

export async function openSegmentFiles() {
  const folder = `${SCRATCH}/segments`
  const openSpool = await spoolsIn(`${folder}/spools`)
  await mkdir(folder, { recursive: true })
  return { openSpool, inferenceFiles: inferenceFilesIn(folder) }
}
