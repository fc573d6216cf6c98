/** Listings: as many items as are wanted, whatever the size of the API's pages. */
import type { Contract, Item, ListName } from '../../client.ts'
import { type Context, type Option, type Output, UsageError } from '../command.ts'
import { count } from '../format.ts'
import { type Column, table } from '../table.ts'

const LIMIT_DEFAULT = 50
const PAGE_MAX = 1_000

export const LIST_OPTIONS = {
  limit: { value: 'number', help: `how many at most (${LIMIT_DEFAULT})` },
  all: { help: 'all of them' },
} satisfies Record<string, Option>

type Listing<N extends ListName> = {
  name: N
  input?: Contract[N]['input']
  columns: Column<Item<N>>[]
  /** What to say when there are none. */
  empty: string
}

export async function listed<N extends ListName>(
  context: Context,
  options: { limit: string | undefined; all: boolean },
  { name, input, columns, empty }: Listing<N>,
): Promise<Output> {
  const max = options.all ? Number.POSITIVE_INFINITY : limitOf(options.limit)
  const galley = await context.galley()
  const given = (input as { query?: object } | undefined)?.query
  const query = { ...given, limit: Math.min(PAGE_MAX, max) }
  const pages = galley.pages(name, { ...input, query } as Contract[N]['input'], {
    signal: context.signal,
  })
  const data: Item<N>[] = []
  let more = false
  for await (const page of pages) {
    data.push(...(page.data as Item<N>[]))
    more = data.length > max || page.has_more
    if (data.length >= max) break
  }
  const kept = data.slice(0, max)
  const rest = more
    ? `\nThere are more than ${count(kept.length)}: add --all, or a greater --limit.`
    : ''
  const text = kept.length === 0 ? empty : table(context.terminal, columns, kept) + rest
  return { json: { data: kept, has_more: more }, text }
}

function limitOf(text: string | undefined): number {
  const limit = text === undefined ? LIMIT_DEFAULT : Number(text)
  if (Number.isSafeInteger(limit) && limit >= 1) return limit
  throw new UsageError(`--limit takes a number from 1 up, not "${text}".`)
}
