/**
 * Where engines differ. Everything else holds for all of them; a difference needs a line here and its
 * reason, and a test reads it here, never from an engine's name.
 */
export type QueueFlags = {
  /** A kill -9 of the store and its return lose nothing, and readers wait it out. */
  outlivesItsServer: boolean
  /** A reader that leaves while it waits leaves nothing hidden behind. */
  departsCleanly: boolean
  /** Characters beyond U+FFFF pass. */
  takesAllOfUnicode: boolean
  /** A receipt is worth nothing once the message was received again. */
  forgetsOldReceipts: boolean
}
const ALL: QueueFlags = {
  outlivesItsServer: true,
  departsCleanly: true,
  takesAllOfUnicode: true,
  forgetsOldReceipts: true,
}
export const QUEUE_ENGINES = {
  postgres: ALL,
  remote: ALL,
  // Protocol servers keep their messages in memory. SQS documents that a reader that hangs up may have
  // been given messages that stay hidden until their visibility ends. It takes all of XML's characters;
  // fauxqs refuses those beyond U+FFFF.
  fauxqs: { ...ALL, outlivesItsServer: false, departsCleanly: false, takesAllOfUnicode: false },
  // moto deletes by any receipt that a message ever had. SQS promises for a standard queue only that the
  // newest deletes; whoever lost a message is fenced by the lease's epoch, not by its receipt.
  moto: { ...ALL, outlivesItsServer: false, departsCleanly: false, forgetsOldReceipts: false },
} satisfies Record<string, QueueFlags>

export type BlobFlags = {
  /** Who reads a blob while it is replaced sees all of the old one or all of the new one. */
  replacesWhole: boolean
}
export const BLOB_ENGINES = {
  folder: { replacesWhole: true },
  remote: { replacesWhole: true },
  fauxqs: { replacesWhole: true },
  // moto closes the old bytes under whoever reads them at that moment. S3 documents that it does not.
  moto: { replacesWhole: false },
} satisfies Record<string, BlobFlags>
