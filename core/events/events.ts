/** Events. The front of this folder: types are declared, events are taken into the log and given their places. */

export { declare, eventType, newestType, types } from './declare.ts'
export { ingest, ingestNow, type Outcome } from './ingest.ts'
export { find, list, rejected } from './log.ts'
export { placeWaiting } from './place.ts'
export { type ExportQuery, exported } from './sealing/export.ts'
