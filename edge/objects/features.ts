/**
 * The object of some partitions as a Durable Object: a shell around the class that also runs over
 * `node:sqlite`. Its decisions are told to the functions by an alarm, which is set again for as long as
 * something is left to tell: the platform itself calls one that fails six times more, over two minutes,
 * and then never again.
 */
import { DurableObject } from 'cloudflare:workers'
import { inCarried } from '#core/carried.ts'
import { AppError, type Problem, problem } from '#core/error.ts'
import { answerOf, decidedMessage, PartitionObject } from '#core/features/partition-object.ts'
import { openSigner, sha256Hex, TOKEN_HEADER } from '#core/internal/signing.ts'
import { consoleLog } from '#platform/console-log.ts'
import { functionsOf, readEnv, type WorkerEnv } from '../env.ts'
import { sqlOf } from './sql.ts'

const METHODS = ['apply', 'read', 'decide', 'explain', 'erase'] as const
export type FeatureMethod = (typeof METHODS)[number]
/** Errors travel as documents: a thrown one loses its code on the way. */
export type FeatureOutcome = { value: unknown } | { problem: Problem }

const GATHER_MS = 20
const BATCH_MAX = 200
/** Longer than what stands before the functions waits for them. */
const ANSWER_MS_MAX = 35_000
/** Every object of a tenant asks this often at the least while the functions are away. */
const RETRY_FIRST_MS = 100
const RETRY_MAX_MS = 30_000
const PATH = '/internal/events/decided'

export class FeaturesObject extends DurableObject<WorkerEnv> {
  readonly #log = consoleLog('objects')
  #object: PartitionObject | null = null
  /** Whether an alarm is to come; null: it is not known yet, as the object has just woken. */
  #isArmed: boolean | null = null

  async call(name: string, method: FeatureMethod, input: unknown): Promise<FeatureOutcome> {
    try {
      if (!METHODS.includes(method)) throw new AppError('not_found')
      if (this.#isArmed === null) await this.#arm(name)
      const value = this.#transaction(object => answerOf(() => object[method](input as never)))
      // In the same turn, so that a decision is never stored without its alarm.
      if (method === 'decide' && !this.#isArmed) await this.#ring(GATHER_MS)
      return { value }
    } catch (error) {
      return { problem: problem(error, '') }
    }
  }

  override async alarm(): Promise<void> {
    this.#isArmed = false
    try {
      await this.#tell()
    } catch (error) {
      this.#log.error('objects.not_delivered', { object: this.#name(), error: String(error) })
      await this.#ring(this.#pauseMs())
    }
  }

  async #tell(): Promise<void> {
    const env = readEnv(this.env)
    const signer = await openSigner('edge', env.key)
    const name = this.#name()
    const tenantId = name.slice(0, name.lastIndexOf('-'))
    for (;;) {
      const { decided: all } = this.#transaction(object => object.outgoing({ max: BATCH_MAX }))
      const [decided] = inCarried(all, each => each.snapshot)
      if (!decided) return
      const body = new TextEncoder().encode(decidedMessage(tenantId, decided))
      const claims = { call: null, method: 'POST', path: PATH, body: await sha256Hex(body) }
      const headers = { [TOKEN_HEADER]: await signer.sign(claims, Date.now()) }
      const signal = AbortSignal.timeout(ANSWER_MS_MAX)
      const request = new Request(`http://functions${PATH}`, {
        method: 'POST',
        headers,
        body,
        signal,
      })
      const response = await functionsOf(env).fetch(request)
      const text = await response.text()
      if (!response.ok) throw new Error(`status ${response.status}: ${text.slice(0, 300)}`)
      const places = decided.map(({ knownAt, endpoint }) => ({ knownAt, endpoint }))
      this.#transaction(object => object.sent({ decided: places }))
    }
  }

  #transaction<T>(work: (object: PartitionObject) => T): T {
    try {
      const { storage } = this.ctx
      // Waking is a transaction of its own: what it made must outlast a call that is refused.
      const object =
        this.#object ??
        storage.transactionSync(
          () => new PartitionObject(sqlOf(storage), { now: () => Date.now() }),
        )
      this.#object = object
      return storage.transactionSync(() => work(object))
    } catch (error) {
      // What it remembers may be ahead of what was stored: it opens anew.
      this.#object = null
      throw error
    }
  }

  /** What was left untold, by whatever ended its alarm, is told after all. */
  async #arm(name: string): Promise<void> {
    const { storage } = this.ctx
    const sql = sqlOf(storage)
    sql.exec('create table if not exists owner (id integer primary key, name text not null)')
    sql.exec('insert into owner values (0, ?) on conflict do nothing', name)
    const isArmed = (await storage.getAlarm()) !== null
    this.#isArmed ??= isArmed
    const [left] = this.#transaction(object => object.outgoing({ max: 1 })).decided
    if (left && !this.#isArmed) await this.#ring(GATHER_MS)
  }

  async #ring(inMs: number): Promise<void> {
    this.#isArmed = true
    try {
      await this.ctx.storage.setAlarm(Date.now() + inMs)
    } catch (error) {
      this.#isArmed = null
      throw error
    }
  }

  /** The longer something has waited, the longer it waits for the next try; objects do not try in step. */
  #pauseMs(): number {
    const [oldest] = this.#transaction(object => object.outgoing({ max: 1 })).decided
    const waitedMs = oldest ? Date.now() - oldest.knownAt / 1_000 : 0
    const pauseMs = Math.min(Math.max(waitedMs / 2, RETRY_FIRST_MS), RETRY_MAX_MS)
    return pauseMs * (0.75 + Math.random() / 4)
  }

  #name(): string {
    return sqlOf(this.ctx.storage).exec<{ name: string }>('select name from owner')[0]!.name
  }
}
