/** Blobs of the cloud, and the folders in which files of the log are made on their way there. */
import { mkdir } from 'node:fs/promises'
import { S3Client } from '@aws-sdk/client-s3'
import { s3Blobs } from '#platform/blob/s3.ts'
import { inferenceFilesIn } from '../segments/inference-files.ts'
import { spoolsIn } from '../segments/spool.ts'
import { readPlaces } from './env.ts'

/** Of Lambda's own disk: the one folder that a function may write. */
const SCRATCH = '/tmp/galley'

export function openBlobs(cacheBytesMax: number) {
  const { GALLEY_BUCKET: bucket } = readPlaces(['GALLEY_BUCKET'])
  return s3Blobs({
    client: new S3Client({}),
    bucket,
    cacheFolder: `${SCRATCH}/blobs`,
    cacheBytesMax,
  })
}

export async function openSegmentFiles() {
  const folder = `${SCRATCH}/segments`
  const openSpool = await spoolsIn(`${folder}/spools`)
  await mkdir(folder, { recursive: true })
  return { openSpool, inferenceFiles: inferenceFilesIn(folder) }
}
