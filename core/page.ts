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

/** The position of a listing by text; null without a cursor. Throws `invalid_cursor`. */
export function textPosition(listing: string, cursor: string | undefined): string | null {
  const fits = (position: unknown) => typeof position === 'string' && !position.includes('\0')
  return positionOf(listing, cursor, fits) as string | null
}

/** The position of a listing by number, which its column can hold. Throws `invalid_cursor`. */
export function numberPosition(
  listing: string,
  cursor: string | undefined,
  numberMax = Number.MAX_SAFE_INTEGER,
): number | null {
  const fits = (position: unknown) =>
    Number.isSafeInteger(position) && Math.abs(position as number) <= numberMax
  return positionOf(listing, cursor, fits) as number | null
}

function positionOf(
  listing: string,
  cursor: string | undefined,
  fits: (position: unknown) => boolean,
): unknown {
  if (!cursor) return null
  try {
    const [of, position] = JSON.parse(new TextDecoder().decode(fromBase64Url(cursor)))
    if (of === listing && fits(position)) return position
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
