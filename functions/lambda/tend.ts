/** Every minute: hours of the log that are over become segments, and what is due on segments. */
import { called, type Invocation, openBase } from '../invocation/base.ts'
import { openBlobs, openSegmentFiles } from '../invocation/files.ts'
import { minuteOf } from '../invocation/minute.ts'
import { openFeatures } from '../invocation/stores.ts'
import { tendLog } from '../seal.ts'

/** Of the 4 GB that the function has for files. */
const CACHE_BYTES_MAX = 1_073_741_824

const base = await openBase('tend')
const deps = {
  ...base,
  features: await openFeatures(base),
  blobs: openBlobs(CACHE_BYTES_MAX),
  ...(await openSegmentFiles()),
}

export const handler = (event: unknown, invocation: Invocation) =>
  called(base, 'tend', invocation, async () => {
    const failed = await tendLog(deps, minuteOf(event))
    if (failed.length > 0) throw new Error(`This work failed, see the log: ${failed}`)
    return {}
  })
