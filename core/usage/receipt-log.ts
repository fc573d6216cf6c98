/**
 * Receipts as lines of JSON, as runners log and ship them. A context line comes before the receipts
 * that name it by number: `{"context":3,…}`, then `[3,"rcp_…","req_…",at,rows,computeUs,in,out]`, with the
 * number of tokens behind it where there are any.
 */
import type { Entry } from './ledger.ts'
import type { Receipt, ReceiptContext } from './receipt.ts'

export type ContextLine = { context: number; is: ReceiptContext }
export type ReceiptLine = [number, string, string, number, number, number, number, number, number?]
export type Line = ContextLine | ReceiptLine

export function contextLine(context: number, is: ReceiptContext): string {
  return JSON.stringify({ context, is })
}

/** Ids are plain ASCII, so the line is put together without a serializer. */
export function receiptLine(context: number, r: Omit<Receipt, 'requests'>): string {
  const tokens = r.tokens ? `,${r.tokens}` : ''
  return `[${context},"${r.id}","${r.work}",${r.at},${r.rows},${r.computeUs},${r.bytesIn},${r.bytesOut}${tokens}]`
}

/** A log of receipts of any contexts: each context is numbered, and stands there, when it first comes. */
export function linesOf(
  receipts: Iterable<{ context: ReceiptContext; line(number: number): string }>,
): string[] {
  const numbers = new Map<string, number>()
  const lines: string[] = []
  for (const { context, line } of receipts) {
    const text = JSON.stringify(context)
    let number = numbers.get(text)
    if (number === undefined) {
      number = numbers.size
      numbers.set(text, number)
      lines.push(contextLine(number, context))
    }
    lines.push(line(number))
  }
  return lines
}

/** The ledger's entries of a log. A receipt whose context is not in it is left out and counted. */
export function entriesOf(lines: readonly Line[]): { entries: Entry[]; orphans: number } {
  const contexts = new Map<number, Entry>()
  let orphans = 0
  for (const line of lines) {
    if (!Array.isArray(line)) {
      contexts.set(line.context, { context: line.is, receipts: [] })
      continue
    }
    const [number, id, work, at, rows, computeUs, bytesIn, bytesOut, tokens = 0] = line
    const entry = contexts.get(number)
    if (!entry) orphans++
    else {
      const used = { requests: 1, rows, computeUs, bytesIn, bytesOut, tokens }
      entry.receipts.push({ id, work, at, ...used })
    }
  }
  return { entries: [...contexts.values()].filter(entry => entry.receipts.length > 0), orphans }
}
