/** The inference log. The front of this folder: what was asked of models is kept, sealed, read and forgotten. */
export { erase } from './erase.ts'
export type { InferenceFiles } from './files.ts'
export { list, segmentFile, segments } from './read.ts'
export { type Logged, record } from './record.ts'
export { expireDue, sealDue } from './seal.ts'
