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
}
export const QUEUE_ENGINES = {
  postgres: { outlivesItsServer: true, departsCleanly: true, takesAllOfUnicode: true },
  remote: { outlivesItsServer: true, departsCleanly: true, takesAllOfUnicode: true },
  // The protocol server keeps its messages in memory. SQS documents that a reader that hangs up may have
  // been given messages that stay hidden until their visibility ends. It takes all of XML's characters;
  // the protocol server refuses those beyond U+FFFF.
  sqs: { outlivesItsServer: false, departsCleanly: false, takesAllOfUnicode: false },
} satisfies Record<string, QueueFlags>
