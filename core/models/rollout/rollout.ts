/** What an edge needs to follow a rollout, without the database. */
export { compare, momentsOf, type Output } from './compare.ts'
export { bucketOf } from './latency.ts'
export { addCompared, addMoments, emptyReport } from './report.ts'
export { isChosen, stickyText } from './sticky.ts'
