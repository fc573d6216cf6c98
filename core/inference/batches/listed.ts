/** Lists in the form of OpenAI. */

/** A page of what was read with one more than the limit: that one says that there are more. */
export function listOf<Item extends { id: string }>(read: readonly Item[], limit: number) {
  const data = read.slice(0, limit)
  return {
    object: 'list' as const,
    data,
    has_more: read.length > limit,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
  }
}
