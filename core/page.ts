/** Listings by keyset: a cursor holds where the last page ended, so that nothing is skipped or repeated. */

import { AppError } from '#core/error.ts'
import { fromBase64Url, toBase64Url } from '#core/internal/signing.ts'

export type PageQuery = { limit: number; cursor?: string }
export type Page<T> = { data: T[]; has_more: boolean; next_cursor: string | null }

/**
 * Opaque text of a position in one listing. Not signed: row-level security decides what a page may
 * show, so a forged cursor reaches nothing that its forger could not list anyway.
 */
export function cursorOf(listing: string, position: string | number): string {
  return toBase64Url(new TextEncoder().encode(JSON.stringify([listing, position])))
}

export function positionOf(listing: string, cursor: string | undefined): string | number | null {
  if (!cursor) return null
  try {
    const [of, position] = JSON.parse(new TextDecoder().decode(fromBase64Url(cursor)))
    if (of === listing && (typeof position === 'string' || Number.isSafeInteger(position)))
      return position
  } catch {}
  throw new AppError('invalid_cursor', {
    public: 'The cursor is not one of this listing; pass next_cursor of the page before, or none.',
  })
}

/** Cuts the page from rows that were read with one more than the limit. */
export function pageOf<Row, Item>(
  rows: Row[],
  query: PageQuery,
  cursor: (row: Row) => string,
  item: (row: Row) => Item,
): Page<Item> {
  const has_more = rows.length > query.limit
  const kept = has_more ? rows.slice(0, query.limit) : rows
  return {
    data: kept.map(item),
    has_more,
    next_cursor: has_more ? cursor(kept[kept.length - 1]!) : null,
  }
}
