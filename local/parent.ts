/** The child's side of a place stands where every runtime may reach it. */
export { type Ending, endWithParent, reportReady } from '#platform/parent.ts'
