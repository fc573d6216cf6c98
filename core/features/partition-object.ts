/**
 * The object behind some partitions of a tenant: it alone orders their events, and every feature is
 * computed from what it has applied. It runs over any synchronous SQL, in a Durable Object or over
 * `node:sqlite`; each method is one transaction of its host.
 */
import type {
  ApplyEvents,
  Clock,
  Decided,
  DecideFeatures,
  EntityKey,
  EntityRead,
  EraseEvents,
  Explained,
  ExplainFeatures,
  ObjectSql,
  PlanRef,
  ReadFeatures,
} from '#core/deps.ts'
import { AppError, fromProblem, type Problem, problem } from '#core/error.ts'
import { partitionOf } from '#core/events/partition.ts'
import type { Event, Placement, Position } from '#schemas/event.ts'
import { ObjectClock } from './online/clock.ts'
import { erase } from './online/erase.ts'
import { explained } from './online/explained.ts'
import { type Applied, isForgotten, Rows } from './online/rows.ts'
import { Seqs } from './online/seqs.ts'
import { type DecidedPlace, type Outgoing, Snapshots } from './online/snapshots.ts'
import { type CompiledView, compileForReading, valuesOf } from './online/view.ts'

export { decidedMessage, type Outgoing } from './online/snapshots.ts'

/** A message of events that waited for longer has its log asked again before it may be applied. */
const CHECKED_MS_MAX = 600_000
const PLANS_MAX = 200

/** The views of a plan by the entity that they are of. */
type Plan = Map<string, CompiledView[]>

export class PartitionObject {
  readonly #clock: Clock
  readonly #sql: ObjectSql
  readonly #time: ObjectClock
  readonly #rows: Rows
  readonly #snapshots: Snapshots
  readonly #seqs: Seqs
  readonly #plans = new Map<string, Plan>()

  constructor(sql: ObjectSql, clock: Clock) {
    this.#clock = clock
    this.#sql = sql
    this.#time = new ObjectClock(sql, clock)
    this.#rows = new Rows(sql)
    this.#snapshots = new Snapshots(sql)
    this.#seqs = new Seqs(sql)
  }

  apply({ placements, checkedAt, onlineDays }: ApplyEvents): { positions: Position[] } {
    if (this.#clock.now() - checkedAt > CHECKED_MS_MAX) {
      throw new AppError('conflict', {
        public: 'The log was asked too long ago whether these events are new; ask it again.',
      })
    }
    const applied = {
      positions: placements.map(placement =>
        this.#position(placement, onlineDays[placement.event.type] ?? 0),
      ),
    }
    this.#seqs.store()
    return applied
  }

  read(input: ReadFeatures): { reads: EntityRead[] } {
    const plan = this.#planOf(input)
    for (const [partition, wanted] of Object.entries(input.minSeq ?? {})) {
      const seq = this.#seqs.of(Number(partition))
      if (seq >= wanted) continue
      throw new AppError('not_fresh', {
        public: `Partition ${partition} is at seq ${seq}; ${wanted} was asked for.`,
        retryable: true,
        retryAfterS: 1,
      })
    }
    const at = input.at ?? this.#time.tick()
    return { reads: input.keys.map(key => this.#readOf(plan, key, at)) }
  }

  decide(input: DecideFeatures): Decided {
    const { event, gate, endpoint } = input
    const applied = this.#rows.applied(event.key, gate.entity, gate.entityKey)
    if (applied) mustBeSame(event, applied)
    const { name } = endpoint
    const before = applied && this.#snapshots.of({ knownAt: applied.knownAt, endpoint: name })
    if (before) {
      const { position, reads } = before
      return { position, reads, repeated: true, endpoint: before.endpoint }
    }
    const plan = this.#planOf(input)
    // What came by the ordinary way has its place already: the decision sees what was before it.
    const at = applied ? applied.knownAt - 1 : this.#time.tick()
    const reads = [
      this.#readOf(plan, gate, at, applied),
      ...input.also.map(key => this.#readOf(plan, key, at)),
    ]
    // Without a time of its own it happens now, by the clock that orders it.
    const timed = input.isTimed ? event : { ...event, eventTime: at }
    const partition = partitionOf(gate.entity, gate.entityKey)
    const placement = { ...gate, partition, event: timed }
    const position = this.#position(placement, input.onlineDays)
    this.#seqs.store()
    const all = [...reads, ...input.given]
    this.#snapshots.add({
      endpoint,
      event: { ...timed, eventTime: position.eventTime },
      planHash: input.planHash,
      position,
      reads: all,
    })
    return { position, reads: all, repeated: false, endpoint }
  }

  explain({ view, entity, entityKey, at: given, eventsMax }: ExplainFeatures): Explained {
    const at = given ?? this.#time.tick()
    const compiled = compileForReading(view)
    const read = this.#readOf(new Map([[entity, [compiled]]]), { entity, entityKey }, at)
    const rows = this.#rows.of(entity, entityKey, view.eventType)
    return { ...read, ...explained(compiled, rows, at, eventsMax) }
  }

  erase(input: EraseEvents): { erased: number } {
    return { erased: erase(this.#sql, this.#rows, this.#snapshots, input) }
  }

  /** Decisions that the log has not been told of. */
  outgoing({ max }: { max: number }): { decided: Outgoing[] } {
    return { decided: this.#snapshots.outgoing(max) }
  }

  sent({ decided }: { decided: DecidedPlace[] }): void {
    for (const place of decided) this.#snapshots.sent(place)
    this.#snapshots.trim(this.#time.tick())
  }

  /** The event's position; applies it if it has none yet. */
  #position(placement: Placement, onlineDays: number): Position {
    const { entity, entityKey, partition, event } = placement
    const named = { eventKey: event.key, entity, entityKey, partition }
    const seq = this.#seqs.of(partition) + 1
    const knownAt = this.#time.tick()
    const before = this.#rows.applied(event.key, entity, entityKey)
    if (before) {
      if (!isForgotten(before, knownAt, onlineDays)) {
        return { ...named, seq: before.seq, eventTime: before.eventTime, knownAt: before.knownAt }
      }
      // The log has forgotten it too, or it would not ask: it is a new event.
      this.#rows.remove(event.key, entity, entityKey)
    }
    this.#rows.add(placement, seq, knownAt)
    this.#seqs.set(partition, seq)
    this.#rows.trim(entity, entityKey, event.type, knownAt, onlineDays)
    return { ...named, seq, eventTime: event.eventTime, knownAt }
  }

  /** `before`: an event whose place limits what is seen; its partition was one seq earlier then. */
  #readOf(
    plan: Plan,
    { entity, entityKey }: EntityKey,
    at: number,
    before: Applied | null = null,
  ): EntityRead {
    const partition = partitionOf(entity, entityKey)
    const views = (plan.get(entity) ?? []).map(view =>
      valuesOf(view, this.#rows.of(entity, entityKey, view.plan.eventType), at),
    )
    const seq = before ? before.seq - 1 : this.#seqs.of(partition)
    return { entity, entityKey, partition, seq, at, views }
  }

  #planOf({ planHash, plan }: PlanRef): Plan {
    const known = this.#plans.get(planHash)
    if (known) return known
    if (!plan || plan.hash !== planHash) throw new AppError('plan_wanted')
    const compiled: Plan = new Map()
    for (const view of plan.views) {
      const views = compiled.get(view.entity) ?? []
      views.push(compileForReading(view))
      compiled.set(view.entity, views)
    }
    if (this.#plans.size >= PLANS_MAX) this.#plans.delete(this.#plans.keys().next().value!)
    this.#plans.set(planHash, compiled)
    return compiled
  }
}

/**
 * What a call gives, or why it was refused. A refusal is an answer like any other: nothing was changed, and
 * the object goes on with what it has in memory, where a thrown error makes its host open it anew.
 */
export type Answer<T> = { value: T } | { refused: Problem; retryAfterS?: number }

/** What a caller did wrong is told before anything is changed; any other error goes on. */
export function answerOf<T>(work: () => T): Answer<T> {
  try {
    return { value: work() }
  } catch (error) {
    if (!(error instanceof AppError) || error.status >= 500) throw error
    return { refused: problem(error, ''), retryAfterS: error.retryAfterS }
  }
}

/** The value; throws the refusal. */
export function valueIn<T>(answer: Answer<T>): T {
  if ('value' in answer) return answer.value
  const { refused, retryAfterS } = answer
  throw fromProblem(refused, retryAfterS === undefined ? null : String(retryAfterS))
}

function mustBeSame(event: Event, known: { bodyHash: string }): void {
  if (event.bodyHash === known.bodyHash) return
  throw new AppError('event_conflict', {
    public: `An event with source "${event.source}" and id "${event.id}" was taken before with another body; send the same one, or another id.`,
  })
}
