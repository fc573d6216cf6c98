/** Where the event of a decision comes from when its caller names no source. */
export function sourceOf({ endpoint, source }: { endpoint: string; source?: string }): string {
  return source ?? `/v1/decisions/${endpoint}`
}

/** Where one of its decisions is told, by the source and id of its event. */
export function pathOf(
  endpoint: { endpoint: string },
  { source, id }: { source: string; id: string },
): string {
  const query = new URLSearchParams({ id })
  if (source !== sourceOf(endpoint)) query.set('source', source)
  return `/v1/decisions/${endpoint.endpoint}/find?${query}`
}
