/** What the functions' handlers are given. */
import type {
  Blobs,
  Clock,
  Database,
  FeatureObjects,
  Log,
  Queue,
  Supply,
  Tracer,
} from '#core/deps.ts'
import type { OpenSpool } from '#core/events/events.ts'
import type { InferenceFiles } from '#core/inference/log/log.ts'
import type { Verifier } from '#core/internal/signing.ts'
import type { Vault } from '#core/internal/vault.ts'
import type { KnownContexts } from '#core/usage/usage.ts'
import type { BlobSigner } from '#platform/blob/s3-sign.ts'
import type { TenantId } from '#schemas/ids.ts'
import type { FunctionMeasures } from './metrics/measures.ts'
import type { Calls } from './runners/calls.ts'

export type FunctionsDeps = Supply & {
  db: Database
  queue: Queue
  features: FeatureObjects
  blobs: Blobs
  /** Signs requests of blobs for the edge; null where blobs are in a folder. */
  signBlobs: BlobSigner | null
  clock: Clock
  log: Log
  /** Absent or null: nothing is traced. */
  tracer?: Tracer | null
  /** What the queues are, as traces name it. */
  queueSystem?: 'aws_sqs' | 'postgresql'
  /** Absent where the process ends with its request, and is measured by its platform. */
  measures?: FunctionMeasures
  /** Absent where nobody who sizes a pool waits in this process. */
  calls?: Calls
  verifier: Verifier
  vault: Vault
  openSpool: OpenSpool
  inferenceFiles: InferenceFiles
  /** For whom a file of an export is being made. */
  exporting: Set<TenantId>
  contexts: KnownContexts
  /** Goes on with work when the reply has left; null where nothing runs then. */
  afterReply: ((work: Promise<unknown>) => void) | null
  /** Hears which messages a commit has promised, so that they leave at once. */
  promised(messages: readonly bigint[]): void
}
