/** Events. The front of this folder: types are declared, events are taken into the log and given their places. */

export { declare, eventType, newestType, types } from './declare.ts'
export { ingest, ingestNow, type Outcome } from './ingest.ts'
export { find, list, rejected } from './log.ts'
export { placeWaiting } from './place.ts'
export { exportPlan, exportRest } from './sealing/download.ts'
export { type ExportQuery, exported } from './sealing/export.ts'
export type { SegmentContent, SegmentFacts, Spool } from './sealing/files.ts'
export { segmentFile, segments } from './sealing/manifest.ts'
export { changeSettings, settings, trimLogs } from './sealing/retention.ts'
export type { LogRow } from './sealing/rows.ts'
export { sealDue, sealNext } from './sealing/seal.ts'
