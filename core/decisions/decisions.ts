/** Decisions. The front of this folder: what was decided, and by what. */
export { recordSnapshots } from './record.ts'
