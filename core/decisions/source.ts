/** Where the event of a decision comes from when its caller names no source. */
export function sourceOf({ endpoint, source }: { endpoint: string; source?: string }): string {
  return source ?? `/v1/decisions/${endpoint}`
}
