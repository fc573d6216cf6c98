/** What the edge counts of requests, by route, protocol, answer and tenant. */
import { AppError } from '#core/error.ts'
import type { Amount, Distribution, Registry, Vector } from '#platform/metrics/registry.ts'

/** Of those with the most to say: the first to come. The others are counted together. */
const TENANTS_MAX = 100
/** To the longest that a request may ask for. */
const SECONDS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120,
]
/** Routes of both protocols, and their kind later. */
const ROUTES_MAX = 400

/** A call of gRPC counts as the route whose policy it goes by, and a message of a stream as a call. */
export type Protocol = 'http' | 'grpc'
type OfRoute = { seconds: Distribution; codes: Map<number, Amount> }

export class RequestMetrics {
  readonly #requests: Vector<Amount>
  readonly #seconds: Vector<Distribution>
  readonly #tenants: Vector<Amount>
  readonly #inFlight: Amount
  readonly #protocol: Protocol
  readonly #routes = new Map<string, OfRoute>()

  constructor(registry: Registry, protocol: Protocol) {
    this.#protocol = protocol
    this.#requests = registry.counter(
      'galley_requests_total',
      'Requests answered, by route, protocol and status: over gRPC the one that HTTP has for the same answer.',
      ['route', 'protocol', 'code'],
      1_000,
    )
    this.#seconds = registry.histogram('galley_request_seconds', 'From a request to its answer.', {
      labels: ['route', 'protocol'],
      buckets: SECONDS,
      max: ROUTES_MAX,
    })
    this.#tenants = registry.counter(
      'galley_tenant_requests_total',
      'Requests answered, by tenant; "other" are those beyond the first hundred.',
      ['tenant'],
      TENANTS_MAX,
    )
    this.#inFlight = registry.gauge('galley_requests_in_flight', 'Requests being answered.').of()
  }

  begin(): void {
    this.#inFlight.add(1)
  }

  /** `tenantId` is empty where nobody was recognised. */
  end(route: string, status: number, tenantId: string, ms: number): void {
    this.#inFlight.add(-1)
    const of = this.#routes.get(route) ?? this.#open(route)
    of.seconds.observe(ms / 1_000)
    let count = of.codes.get(status)
    if (!count) {
      count = this.#requests.of(route, this.#protocol, String(status))
      of.codes.set(status, count)
    }
    count.add()
    if (tenantId !== '') this.#tenants.of(tenantId).add()
  }

  #open(route: string): OfRoute {
    const of = { seconds: this.#seconds.of(route, this.#protocol), codes: new Map() }
    this.#routes.set(route, of)
    return of
  }
}

/** Of what it was refused or failed with. */
export function statusOf(fault: unknown): number {
  return fault instanceof AppError ? fault.status : 500
}
