/**
 * Whom a canary answers. A share of the callers' keys, the same ones whenever they come and at whichever
 * edge; with a larger share those that were in it stay in it.
 */

/** The sticky key of a request: a caller's own, within its tenant, or nothing but the request itself. */
export function stickyText(
  rollout: string,
  about: { tenantId: string; keyId: string; requestId: string },
  given: string | undefined,
): string {
  // Without a key there is nothing to stick to: each request for itself keeps the share exact.
  if (given === undefined || given === '') return `${rollout}\n${about.requestId}`
  return `${rollout}\n${about.tenantId}\n${about.keyId}\n${given}`
}

export function isChosen(text: string, percent: number): boolean {
  return hash(text) < (percent / 100) * 2 ** 32
}

/** FNV-1a (Fowler, Noll, Vo) and the finalizer of MurmurHash3 (Appleby), which spreads its low bits. */
function hash(text: string): number {
  let h = 0x811c9dc5
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
