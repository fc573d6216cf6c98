/** A tenant's ledger as its owner reads it: page after page by the cursor, never from the start again. */

import type { Tenant } from './book.ts'
import type { Client, Json } from './client.ts'

export type Receipt = {
  seq: number
  id: string
  kind: 'online' | 'bulk'
  work: string
  key: string
  project: string | null
  tags: Record<string, string>
  requests: number
  rows: number
  compute_us: number
  bytes_in: number
  bytes_out: number
  tokens: number
}
export const SUMMED = ['requests', 'rows', 'compute_us', 'bytes_in', 'bytes_out', 'tokens'] as const
export type Sums = Record<(typeof SUMMED)[number] | 'receipts', number>

export type Reader = {
  tenant: Tenant
  byWork: Map<string, Receipt[]>
  sums: Sums
  /** Numbers that do not follow their predecessor by one. */
  gaps: number
  /** Reads what is new. Returns how many. */
  read(): Promise<number>
}

export function openReader(client: Client, tenant: Tenant): Reader {
  let cursor = ''
  let lastSeq = 0
  const reader: Reader = {
    tenant,
    byWork: new Map(),
    sums: {
      receipts: 0,
      requests: 0,
      rows: 0,
      compute_us: 0,
      bytes_in: 0,
      bytes_out: 0,
      tokens: 0,
    },
    gaps: 0,
    async read() {
      let fresh = 0
      for (;;) {
        const path = `/v1/receipts?limit=1000${cursor && `&cursor=${cursor}`}`
        const page: Json = await client.insist({ key: tenant.admin, method: 'GET', path })
        // The last page has no cursor: what comes after it is read from the same place again.
        const news = (page.data as Receipt[]).filter(receipt => receipt.seq > lastSeq)
        for (const receipt of news) take(receipt)
        fresh += news.length
        if (!page.next_cursor) return fresh
        cursor = page.next_cursor
      }
    },
  }

  function take(receipt: Receipt): void {
    if (receipt.seq !== lastSeq + 1) reader.gaps++
    lastSeq = receipt.seq
    const same = reader.byWork.get(receipt.work)
    if (same) same.push(receipt)
    else reader.byWork.set(receipt.work, [receipt])
    reader.sums.receipts++
    for (const name of SUMMED) reader.sums[name] += receipt[name]
  }
  return reader
}
