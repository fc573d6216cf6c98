/** What the product has acknowledged: the checker holds it to every line of this book. */
import type { Ask } from './client.ts'

export type Key = {
  tenant: Tenant
  id: string
  secret: string
  project: string | null
  tags: Record<string, string>
}
export type Tenant = { id: string; name: string; admin: string; keys: Key[] }

export type Prediction = {
  requestId: string
  receiptId: string
  key: Key
  rows: number
  /** When the caller had the answer, by `performance.now()`. */
  ackedAt: number
}
/** A file of rows made from a seed; see `rows.ts`. */
export type File = { tenant: Tenant; sha256: string; size: number; seed: number; rows: number }
export type Upload = { id: string; file: File; key: Key }
export type Job = {
  id: string
  key: Key
  file: File
  /** A cancel was asked for; `acked`: and confirmed. */
  cancel: null | 'asked' | 'acked'
}
export type Version = { tenant: Tenant; model: string; version: number; digest: string }
export type IssuedKey = { key: Key; ask: Ask }
export type Alias = {
  tenant: Tenant
  model: string
  alias: string
  /** What it may point at now: the last that was acknowledged, and one asked for after it. */
  may: number[]
}

export type Book = {
  predictions: Map<string, Prediction>
  /** Predictions asked for that got no answer or no result, by key: each may have been done. */
  unanswered: Map<string, number>
  uploads: Upload[]
  jobs: Job[]
  versions: Version[]
  keys: IssuedKey[]
  aliases: Map<string, Alias>
  /** Acknowledged changes of aliases. */
  flips: Alias[]
  /** What the product should not have said: status and body by text, with how often. */
  faults: Map<string, number>
  /** Answers to predictions by status. */
  statuses: Map<string, number>
}

export function emptyBook(): Book {
  return {
    predictions: new Map(),
    unanswered: new Map(),
    uploads: [],
    jobs: [],
    versions: [],
    keys: [],
    aliases: new Map(),
    flips: [],
    faults: new Map(),
    statuses: new Map(),
  }
}

export function count(map: Map<string, number>, name: string): void {
  map.set(name, (map.get(name) ?? 0) + 1)
}

export function acknowledged(book: Book): number {
  const { predictions, uploads, jobs, versions, keys, flips } = book
  return (
    predictions.size + uploads.length + jobs.length + versions.length + keys.length + flips.length
  )
}
