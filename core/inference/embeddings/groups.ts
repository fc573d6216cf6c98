/** Which rows of one request run together: those whose texts come out equally long. */

export type Group = {
  /** Tokens of every row, padding included. */
  length: number
  /** Places in the request. */
  rows: number[]
}
export type Padding = {
  /** By publish: the attention mask hides padding, so a row may have some. */
  isMasked: boolean
  /** A graph whose tokens have one fixed number. */
  fixed: number | null
  /** Of the model. */
  tokensMax: number
  /** Rows of the model influence each other: each runs by itself. */
  isAlone?: boolean
}

/**
 * How long a row becomes. It follows from its own length alone, so a text's vector does not depend on
 * what else was asked; steps of an eighth let texts of many callers meet and waste an eighth at most.
 */
export function paddedLength(length: number, { isMasked, fixed, tokensMax }: Padding): number {
  if (fixed !== null) return fixed
  if (!isMasked || length < 16) return length
  const step = 2 ** (Math.floor(Math.log2(length)) - 3)
  return Math.min(Math.ceil(length / step) * step, Math.max(tokensMax, length))
}

/** In the order in which the lengths first come. */
export function groupsOf(lengths: readonly number[], padding: Padding): Group[] {
  const groups = new Map<number, Group>()
  lengths.forEach((own, row) => {
    const length = paddedLength(own, padding)
    const name = padding.isAlone ? row : length
    const group = groups.get(name)
    if (group) group.rows.push(row)
    else groups.set(name, { length, rows: [row] })
  })
  return [...groups.values()]
}
