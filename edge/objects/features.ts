/**
 * The object of some partitions as a Durable Object: a shell around the class that also runs over
 * `node:sqlite`. Its decisions are told to the functions by an alarm, which the platform repeats until
 * it succeeds.
 */
import { DurableObject } from 'cloudflare:workers'
import { inCarried } from '#core/carried.ts'
import { AppError, type Problem, problem } from '#core/error.ts'
import { answerOf, decidedMessage, PartitionObject } from '#core/features/partition-object.ts'
import { openSigner, sha256Hex, TOKEN_HEADER } from '#core/internal/signing.ts'
import { functionsOf, readEnv, type WorkerEnv } from '../env.ts'
import { sqlOf } from './sql.ts'

const METHODS = ['apply', 'read', 'decide', 'explain', 'erase'] as const
export type FeatureMethod = (typeof METHODS)[number]
/** Errors travel as documents: a thrown one loses its code on the way. */
export type FeatureOutcome = { value: unknown } | { problem: Problem }

const GATHER_MS = 20
const BATCH_MAX = 200
const PATH = '/internal/events/decided'

export class FeaturesObject extends DurableObject<WorkerEnv> {
  #object: PartitionObject | null = null

  async call(name: string, method: FeatureMethod, input: unknown): Promise<FeatureOutcome> {
    try {
      if (!METHODS.includes(method)) throw new AppError('not_found')
      const value = this.#transaction(object => answerOf(() => object[method](input as never)))
      if (method === 'decide') await this.#deliverSoon(name)
      return { value }
    } catch (error) {
      return { problem: problem(error, '') }
    }
  }

  override async alarm(): Promise<void> {
    const env = readEnv(this.env)
    const signer = await openSigner('edge', env.key)
    const [owner] = sqlOf(this.ctx.storage).exec<{ name: string }>('select name from owner')
    if (!owner) return
    const tenantId = owner.name.slice(0, owner.name.lastIndexOf('-'))
    for (;;) {
      const { decided: all } = this.#transaction(object => object.outgoing({ max: BATCH_MAX }))
      const [decided] = inCarried(all, each => each.snapshot)
      if (!decided) return
      const body = new TextEncoder().encode(decidedMessage(tenantId, decided))
      const claims = { call: null, method: 'POST', path: PATH, body: await sha256Hex(body) }
      const headers = { [TOKEN_HEADER]: await signer.sign(claims, Date.now()) }
      const request = new Request(`http://functions${PATH}`, { method: 'POST', headers, body })
      const response = await functionsOf(env).fetch(request)
      if (!response.ok) throw new Error(`decisions were not taken: status ${response.status}`)
      await response.arrayBuffer()
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

  async #deliverSoon(name: string): Promise<void> {
    if ((await this.ctx.storage.getAlarm()) !== null) return
    const sql = sqlOf(this.ctx.storage)
    sql.exec('create table if not exists owner (id integer primary key, name text not null)')
    sql.exec('insert into owner values (0, ?) on conflict do nothing', name)
    await this.ctx.storage.setAlarm(Date.now() + GATHER_MS)
  }
}
