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
  /** Of readers that ask at once, one gets a message. */
  givesToOneReader: boolean
}
export type BlobFlags = {
  /** Who reads a blob while it is replaced sees all of the old one or all of the new one. */
  replacesWhole: boolean
  /** Who writes a key while another does is not answered a fault of the store. */
  takesWritersAtOnce: boolean
}
type Flag = keyof (QueueFlags & BlobFlags)

/** What a flag takes out of a suite where it is off: whole cases by their title, or a part of one. */
const CASES: Record<Flag, string[]> = {
  outlivesItsServer: ['what was acknowledged outlives a kill -9 of its server'],
  departsCleanly: ['who left takes no message with him'],
  takesAllOfUnicode: [
    'every message of many calls and sizes arrives once and unchanged: characters beyond U+FFFF',
  ],
  forgetsOldReceipts: [
    'an old receipt neither deletes nor extends',
    'any order of sending, receiving, giving back and deleting follows the model: deleting with an old receipt',
  ],
  givesToOneReader: ['eight readers at once never hold the same message, and lose none'],
  replacesWhole: ['a replaced blob is seen whole, the old or the new one'],
  takesWritersAtOnce: [
    'who writes the same bytes under one key at once is told the same, and they are there',
  ],
}

const MEMORY = 'the server keeps its messages in memory: killed, it has none'
const HANGS_UP =
  'as SQS documents of itself, a reader that hangs up may have been given messages, which stay hidden until their visibility ends'
/** Of the protocol servers, which stand for SQS and S3 here. */
const NOT: Record<'fauxqs' | 'moto', Partial<Record<Flag, string>>> = {
  fauxqs: {
    outlivesItsServer: MEMORY,
    departsCleanly: HANGS_UP,
    takesAllOfUnicode: 'it refuses characters beyond U+FFFF; SQS takes all of XML',
  },
  moto: {
    outlivesItsServer: MEMORY,
    departsCleanly: HANGS_UP,
    forgetsOldReceipts:
      'it deletes by any receipt that a message ever had; SQS promises for a standard queue only that the newest deletes, and whoever lost a message is fenced by the epoch of the lease',
    givesToOneReader:
      'it finds a message and hides it without a lock, so that two requests at once may be given the same one',
    replacesWhole:
      'it closes the old bytes under whoever reads them; S3 documents that it does not',
    takesWritersAtOnce:
      'it answers 500 when two requests change its own table of keys at once ("dictionary changed size during iteration")',
  },
}

const queueFlags = (not: Partial<Record<Flag, string>> = {}): QueueFlags => ({
  outlivesItsServer: !not.outlivesItsServer,
  departsCleanly: !not.departsCleanly,
  takesAllOfUnicode: !not.takesAllOfUnicode,
  forgetsOldReceipts: !not.forgetsOldReceipts,
  givesToOneReader: !not.givesToOneReader,
})
const blobFlags = (not: Partial<Record<Flag, string>> = {}): BlobFlags => ({
  replacesWhole: !not.replacesWhole,
  takesWritersAtOnce: !not.takesWritersAtOnce,
})

export const QUEUE_ENGINES = {
  postgres: queueFlags(),
  remote: queueFlags(),
  fauxqs: queueFlags(NOT.fauxqs),
  moto: queueFlags(NOT.moto),
} satisfies Record<string, QueueFlags>

export const BLOB_ENGINES = {
  folder: blobFlags(),
  remote: blobFlags(),
  fauxqs: blobFlags(NOT.fauxqs),
  moto: blobFlags(NOT.moto),
} satisfies Record<string, BlobFlags>

export type Excluded = { case: string; server: string; reason: string }
/** What a protocol server is not asked, in words of the suites. */
export const EXCLUDED: Excluded[] = Object.entries(NOT).flatMap(([server, flags]) =>
  (Object.entries(flags) as [Flag, string][]).flatMap(([flag, reason]) =>
    CASES[flag].map(title => ({ case: title, server, reason })),
  ),
)
