/** Where the edge's engines differ. Everything else holds for both; a difference needs a line here and its reason. */

const MIB = 1024 ** 2

export type EdgeMemory = {
  /** Of one body that is read whole, whatever its route takes; packed and unpacked alike. */
  bodyBytesMax: number
  /** Of all bodies that one process or isolate holds at once: over it, callers are told to come again. */
  heldBytesMax: number
}

export const EDGE_ENGINES = {
  // Memory is the machine's.
  node: { bodyBytesMax: 64 * MIB, heldBytesMax: 512 * MIB },
  // An isolate that takes more than 128 MB is ended, with the requests of everybody in it. 24 MiB are kept
  // answers, about 20 code and what it makes; a body has a copy beside it where its model is sent along, and
  // a part of an upload, which has none, may have 32 MiB.
  workers: { bodyBytesMax: 16 * MIB, heldBytesMax: 40 * MIB },
} as const satisfies Record<string, EdgeMemory>
