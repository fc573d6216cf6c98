/** Decisions. The front of this folder: endpoints, what they decided, and how it turned out. */
export { type Backtest, backtest } from './backtest.ts'
export { applyEndpoint, endpoint, endpointPlan, endpoints } from './endpoints.ts'
export {
  feedback,
  find,
  forget,
  list,
  type RecordedOutcome,
  recordOutcomes,
  recordSnapshots,
  stored,
} from './record.ts'
