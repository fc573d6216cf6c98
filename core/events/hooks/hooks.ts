/** Webhooks that come in, as the edge takes them: what needs no database. */

export { kindsOf, rawEventOf, ruleFor } from './mapping.ts'
export type { OpenedSource } from './secrets.ts'
export { judged, keyOf, type SecretKey } from './signature.ts'
