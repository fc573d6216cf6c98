/** What sealing needs of a place that can write files for analysis: rows in, a Parquet file and its facts out. */
import type { EventType } from '#schemas/event.ts'
import type { Watermarks } from '#schemas/tables/segments.ts'
import type { Measured } from '../quality/measure.ts'
import type { LogRow } from './rows.ts'

/** Times in microseconds; null where no row has one. */
export type SegmentFacts = {
  rows: number
  events: number
  numberFrom: number
  numberTo: number
  eventTimeFrom: number | null
  eventTimeTo: number | null
  knownFrom: number | null
  knownTo: number | null
  watermarks: Watermarks
}

/** The same rows under the same contract give the same bytes. */
export type SegmentContent = {
  sha256: string
  bytes: number
  content(): AsyncIterable<Uint8Array>
  facts: SegmentFacts
  /** What the checks of its contract measure, by name. */
  measured: Measured
}

export type Place = { key: string; partition: number; entity: string; entityKey: string }

/** Rows wait on disk by their type, so that memory does not grow with them. */
export type Spool = {
  add(rows: readonly LogRow[]): Promise<void>
  types(): string[]
  /** All rows of one type, in the order of partition and seq. */
  segmentOf(type: EventType): Promise<SegmentContent>
  /** The rows of a segment (a local file) but those of events that have a place at the entity. */
  without(path: string, who: { entity: string; entityKey: string }): Promise<SegmentContent>
  /** The places of those events, at whichever entity. */
  placesOf(path: string, who: { entity: string; entityKey: string }): Promise<Place[]>
  close(): Promise<void>
}
export type OpenSpool = () => Promise<Spool>
