/** Queues and blobs of a start: on this machine, or in SQS and S3 as its environment names them. */
import { AppError } from '#core/error.ts'
import { openBlobs } from '#platform/blob/open.ts'
import { checkSqs, QUEUE_VARIABLES, queueUrls } from '#platform/queue/open.ts'
import type { Flags } from './flags.ts'

type Engines = Pick<Flags, 'queue' | 'blob'>
type Env = Record<string, string>

/**
 * The environment of places, in which names of stores stand exactly when the flags ask for them: what
 * a shell happens to have set moves nobody's data. Throws `invalid_request` with what is missing.
 */
export function storesEnv({ queue, blob }: Engines, inherited: Env): Env {
  const asked = [
    ...(queue === 'sqs' ? QUEUE_VARIABLES : []),
    ...(blob === 's3' ? ['GALLEY_BUCKET'] : []),
  ]
  const wanted = asked.length > 0 ? [...asked, 'AWS_REGION'] : []
  const missing = wanted.filter(name => !inherited[name])
  if (missing.length > 0) {
    const flags = [queue === 'sqs' && '--queue sqs', blob === 's3' && '--blob s3'].filter(Boolean)
    throw new AppError('invalid_request', {
      public: `${flags.join(' and ')} needs these in the environment: ${missing.join(', ')}.`,
    })
  }
  const left = [...QUEUE_VARIABLES, 'GALLEY_BUCKET'].filter(name => !asked.includes(name))
  const env = Object.fromEntries(Object.entries(inherited).filter(([name]) => !left.includes(name)))
  queueUrls(env)
  return env
}

/** Asks each store once. Throws `unavailable` with which of them cannot be used and why. */
export async function reachStores({ queue, blob }: Engines, env: Env): Promise<void> {
  if (queue === 'sqs') {
    await checkSqs(queueUrls(env)!).catch(error => refuse('The queues', error))
  }
  if (blob === 's3') {
    const bucket = env.GALLEY_BUCKET!
    const blobs = await openBlobs({ bucket, folder: 'blobs', cacheFolder: 'cache/blobs' })
    await blobs.list('', { max: 1 }).catch(error => refuse(`The bucket ${bucket}`, error))
  }
}

function refuse(what: string, cause: Error): never {
  throw new AppError('unavailable', { public: `${what} cannot be used: ${cause.message}.`, cause })
}
