/** Which partition an entity belongs to: for ever the same, on every machine and in every language. */

/** Virtual partitions of a tenant. Part of what is stored: it never changes. */
export const PARTITIONS = 1024

const encoder = new TextEncoder()

/** FNV-1a over 32 bits (Fowler, Noll, Vo; RFC 9923) of `entity NUL key`, with a last mix for the low bits. */
export function partitionOf(entity: string, entityKey: string): number {
  let hash = 0x811c9dc5
  for (const byte of encoder.encode(`${entity}\0${entityKey}`)) {
    hash = Math.imul(hash ^ byte, 0x01000193)
  }
  hash ^= hash >>> 16
  hash = Math.imul(hash, 0x85ebca6b)
  hash ^= hash >>> 13
  return (hash >>> 0) % PARTITIONS
}
