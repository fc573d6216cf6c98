/**
 * What the verbs of core need from outside, by capability. A place builds these once from its
 * environment and passes them as the first parameter; `platform/` holds the drivers.
 */
import type { NodePgDatabase, NodePgTransaction } from 'drizzle-orm/node-postgres'
import type { QueueName } from '#schemas/queues.ts'
import type { TenantId } from '#schemas/ids.ts'

export type Clock = { now(): number }

export type Log = {
  /** One structured line per unit of work. */
  info(event: string, fields?: Record<string, unknown>): void
  error(event: string, fields?: Record<string, unknown>): void
}

/** A transaction bound to one tenant: row-level security shows it that tenant's rows and no others. */
export type Tx = Parameters<Parameters<NodePgDatabase['transaction']>[0]>[0]
export type { NodePgTransaction }

export type Database = {
  /** Runs the work in one transaction that sees only this tenant; commits when it resolves. */
  tenant<T>(tenantId: TenantId, work: (tx: Tx) => Promise<T>): Promise<T>
  /**
   * Runs work of the platform itself (outbox relay, sweeps, key look-up, ledger batches) under a role
   * that may cross tenants in the few tables that name it in a policy.
   */
  system<T>(work: (tx: Tx) => Promise<T>): Promise<T>
}

export type Message = {
  id: string
  body: string
  /** Valid for this receive only; deleting with an older one does nothing. */
  receipt: string
  /** How often this message was received, this time included. */
  receiveCount: number
}

/** SQS semantics: at least once, unordered, hidden while in flight, dead-lettered when poisonous. */
export type Queue = {
  /** Durable when it resolves. Any number of messages; the driver makes batches. */
  send(queue: QueueName, messages: { body: string; delayS?: number }[]): Promise<void>
  /** Up to `max` (≤ 10) messages; waits up to `waitS` (≤ 20) for the first; resolves early on abort. */
  receive(
    queue: QueueName,
    options: { max: number; waitS: number; visibilityS?: number; signal?: AbortSignal },
  ): Promise<Message[]>
  /** Deletes those whose receipt is still the newest; the others are ignored. */
  delete(queue: QueueName, receipts: string[]): Promise<void>
  /** Sets when the message is receivable again, from now; 0 gives it back at once. False: not ours any more. */
  extend(queue: QueueName, receipt: string, visibilityS: number): Promise<boolean>
  /** Messages of the dead-letter queue, for inspection. */
  dead(queue: QueueName): Promise<number>
}

export type BlobInfo = { key: string; size: number; sha256: string }
export type BlobPart = { number: number; size: number; sha256: string }
export type Bytes = Uint8Array | AsyncIterable<Uint8Array>

/**
 * Immutable blobs by key. A key is `/`-separated segments of `[A-Za-z0-9._-]`; the first is the tenant.
 * What a call acknowledged survives a power failure.
 */
export type Blobs = {
  /**
   * Stores the bytes, all or nothing. Throws `digest_mismatch` if `sha256` is given and differs,
   * `payload_too_large` past `sizeMax`, `insufficient_storage` on a full disk.
   * A key that exists is replaced in one step.
   */
  put(key: string, body: Bytes, options?: { sha256?: string; sizeMax?: number }): Promise<BlobInfo>
  /** The bytes from `start` up to, not including, `end`; null when there is no such key. */
  get(
    key: string,
    range?: { start: number; end: number },
  ): Promise<{ info: BlobInfo; body: AsyncIterable<Uint8Array> } | null>
  head(key: string): Promise<BlobInfo | null>
  delete(key: string): Promise<void>
  list(prefix: string, options?: { after?: string; max?: number }): Promise<BlobInfo[]>
  /** Parts of an upload, numbered from 1, each replaceable until the upload is completed. */
  putPart(
    uploadKey: string,
    number: number,
    body: Bytes,
    options?: { sha256?: string; sizeMax?: number },
  ): Promise<BlobPart>
  listParts(uploadKey: string): Promise<BlobPart[]>
  /** Joins the parts in order into one blob and removes them; verifies size and digest first. Idempotent. */
  completeUpload(
    uploadKey: string,
    key: string,
    expected: { size: number; sha256: string },
  ): Promise<BlobInfo>
  abortUpload(uploadKey: string): Promise<void>
  /** The path of a local, read-only copy of the blob, for engines that want a file. */
  localFile(key: string): Promise<string>
}

/** What most verbs need: the transaction that they are part of, bound to the caller's tenant, and the time. */
export type Unit = { tx: Tx; clock: Clock }
