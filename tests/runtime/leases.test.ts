/**
 * Leases against a model: any sequence of leases, heartbeats, completions, failures, cancels, lost
 * runners and duplicate messages leaves the run exactly as a few lines of plain code say it should.
 */
import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import { AppError } from '#core/error.ts'
import * as bulk from '#core/inference/bulk.ts'
import * as jobs from '#core/jobs/jobs.ts'
import { LEASE_MS } from '#core/jobs/lease-times.ts'
import * as usage from '#core/usage/usage.ts'
import { newId, type StepId, type TenantId } from '#schemas/ids.ts'
import { models, modelVersions } from '#schemas/tables/models.ts'
import { callOf, handClock, inTenant } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'

const { db, admin } = await testDatabase()
const RUNNERS = ['runner-0', 'runner-1', 'runner-2']
const SPEC = {
  model: 'm',
  version: 1,
  digest: 'd'.repeat(64),
  input: { sha256: 'e'.repeat(64), size: 100, format: 'jsonl' as const },
}
const INFERENCE = { kind: 'inference' as const, first: 'plan' as const, spec: SPEC }
const ATTEMPTS_MAX = 5
const LOSSES_MAX = 25
let tenantId: TenantId

beforeAll(async () => {
  tenantId = newId('tenant')
  const manifest = { graph: 'm.onnx', files: [] }
  const signature = { inputs: [], outputs: [], batching: 'invariant' as const }
  const version = { id: newId('version'), number: 1, digest: SPEC.digest, state: 'ready' as const }
  await inTenant({ db }, tenantId, async ({ tx }) => {
    await tx.insert(models).values({ tenantId, name: 'm', lastNumber: 1 })
    await tx.insert(modelVersions).values({ tenantId, model: 'm', ...version, manifest, signature })
  })
})

type Clock = ReturnType<typeof handClock>
const verbs = (clock: Clock) => ({
  start: () =>
    inTenant({ db, clock }, tenantId, unit =>
      jobs.start(unit, callOf(tenantId), { ...INFERENCE, expiresInS: 3600 }),
    ),
  lease: (stepId: StepId, runner: string) =>
    inTenant({ db, clock }, tenantId, async unit => {
      const reply = await jobs.leases.lease(unit, { stepId, runner })
      return reply.status === 'leased' ? bulk.assignment(unit, reply) : reply
    }),
  heartbeat: (stepId: StepId, epoch: number) =>
    inTenant({ db, clock }, tenantId, unit => jobs.leases.heartbeat(unit, { stepId, epoch })),
  finish: (stepId: StepId, epoch: number, outcome: bulk.Outcome) =>
    inTenant({ db, clock }, tenantId, unit => bulk.finish(unit, { stepId, epoch, outcome })),
  fail: (stepId: StepId, epoch: number, kind: jobs.leases.Failure['kind']) =>
    inTenant({ db, clock }, tenantId, unit =>
      jobs.leases.fail(unit, { stepId, epoch, kind, error: { code: 'internal', detail: 'broke' } }),
    ),
  cancel: (job_id: string) =>
    inTenant({ db, clock }, tenantId, unit => jobs.cancel(unit, callOf(tenantId), { job_id })),
})

const rowsOf = async (sql: string, id: string) => (await admin.query(sql, [id])).rows
const stepsOf = (runId: string) =>
  rowsOf(
    `select id, kind, number, state, epoch, attempts, losses from steps
     where run_id = $1 order by kind = 'merge', kind = 'shard', number`,
    runId,
  )
const runOf = async (runId: string) =>
  (
    await rowsOf(
      `select state, rows_total::int, rows_done::int, rows_failed::int, steps_total, steps_left, result_key
       from runs where id = $1`,
      runId,
    )
  )[0]

function outcomeOf(step: Modelled, shards: number): bulk.Outcome {
  if (step.kind === 'plan') {
    const one = (_: unknown, i: number) => ({
      start: i * 10,
      end: i * 10 + 10,
      row: i * 10,
      rows: 10,
    })
    return { kind: 'plan', rows: shards * 10, shards: Array.from({ length: shards }, one) }
  }
  const key = `result of ${step.kind} ${step.number}`
  if (step.kind === 'merge') return { kind: 'merge', key, size: 7, sha256: 'f'.repeat(64) }
  const { number } = step
  return {
    kind: 'shard',
    key,
    rowsDone: 10,
    rowsFailed: number % 3,
    computeUs: 5,
    bytesIn: 6,
    bytesOut: 7,
  }
}

/** The oracle: what a run and its steps are, in plain code. */
type Modelled = {
  id: StepId
  kind: 'plan' | 'shard' | 'merge'
  number: number
  state: string
  epoch: number
  attempts: number
  losses: number
  runner: string | null
  until: number
}
class Oracle {
  steps: Modelled[] = []
  state = 'queued'
  rowsDone = 0
  rowsFailed = 0

  get open() {
    return this.state === 'queued' || this.state === 'running'
  }

  end(state: string) {
    if (!this.open) return
    this.state = state
    for (const step of this.steps) {
      if (['waiting', 'queued', 'leased'].includes(step.state)) {
        step.state = 'canceled'
        step.epoch++
      }
    }
  }

  /** Leased, held or gone. */
  lease(step: Modelled, runner: string, now: number): string {
    if (step.state !== 'queued' && step.state !== 'leased') return 'gone'
    const held = step.state === 'leased' && step.until > now
    if (held && step.runner !== runner) return 'held'
    const losses = step.losses + (step.state === 'leased' ? 1 : 0)
    if (losses > LOSSES_MAX) {
      step.state = 'failed'
      this.end('failed')
      return 'gone'
    }
    Object.assign(step, {
      state: 'leased',
      epoch: step.epoch + 1,
      losses,
      runner,
      until: now + LEASE_MS,
    })
    if (this.state === 'queued') this.state = 'running'
    return 'leased'
  }

  isLease(step: Modelled, epoch: number) {
    return step.state === 'leased' && step.epoch === epoch
  }

  finish(step: Modelled) {
    step.state = 'done'
    if (step.kind === 'shard') {
      this.rowsDone += 10
      this.rowsFailed += step.number % 3
      const shards = this.steps.filter(one => one.kind === 'shard')
      if (shards.every(one => one.state === 'done')) this.release()
    }
    if (step.kind === 'merge') this.end('done')
  }

  release() {
    for (const step of this.steps) if (step.state === 'waiting') step.state = 'queued'
  }

  fail(step: Modelled, kind: jobs.leases.Failure['kind']) {
    const attempts = step.attempts + (kind === 'preempted' ? 0 : 1)
    if (kind === 'permanent' || attempts >= ATTEMPTS_MAX) {
      step.state = 'failed'
      this.end('failed')
    } else Object.assign(step, { state: 'queued', attempts, runner: null })
  }
}

const pick = { step: fc.nat(5), epoch: fc.constantFrom(0, 0, 0, 0, 1, 2) }
type Command = fc.Arbitrary<
  | { do: 'lease'; step: number; runner: number }
  | { do: 'heartbeat' | 'finish'; step: number; epoch: number }
  | { do: 'fail'; step: number; epoch: number; kind: jobs.leases.Failure['kind'] }
  | { do: 'wait'; ms: number }
  | { do: 'cancel' }
>
const command: Command = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('lease' as const), step: pick.step, runner: fc.nat(2) }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('finish' as const), ...pick }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('heartbeat' as const), ...pick }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('fail' as const),
      ...pick,
      kind: fc.constantFrom(
        'retryable' as const,
        'preempted' as const,
        'preempted' as const,
        'permanent' as const,
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('wait' as const),
      ms: fc.constantFrom(1000, LEASE_MS - 1, LEASE_MS + 1),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const) }) },
)

const isStale = (error: unknown) => error instanceof AppError && error.code === 'stale_epoch'
async function staleOr(work: Promise<unknown>): Promise<'stale' | 'done'> {
  try {
    await work
    return 'done'
  } catch (error) {
    if (isStale(error)) return 'stale'
    throw error
  }
}

test('whatever runners do, and however often: one holder at most, stale epochs change nothing, counters are the oracle’s, each shard done has one receipt', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(3), fc.array(command, { maxLength: 45 }), async (shards, commands) => {
      const clock = handClock()
      const verb = verbs(clock)
      const { id: runId } = await verb.start()
      const oracle = new Oracle()
      const fresh = { epoch: 0, attempts: 0, losses: 0, runner: null, until: 0 }
      const learn = async () => {
        for (const { id, kind, number, state } of await stepsOf(runId)) {
          if (oracle.steps.some(step => step.id === id)) continue
          oracle.steps.push({ id, kind, number, state, ...fresh })
        }
      }
      await learn()
      for (const one of commands) {
        if (one.do === 'wait') {
          clock.forward(one.ms)
          continue
        }
        if (one.do === 'cancel') {
          await verb.cancel(runId)
          oracle.end('canceled')
          continue
        }
        const step = oracle.steps[one.step % oracle.steps.length]!
        if (one.do === 'lease') {
          const runner = RUNNERS[one.runner]!
          const reply = await verb.lease(step.id, runner)
          expect(reply.status).toBe(oracle.lease(step, runner, clock.now()))
          if (reply.status === 'leased') expect(reply.epoch).toBe(step.epoch)
          continue
        }
        const epoch = step.epoch - one.epoch
        const isLease = oracle.isLease(step, epoch)
        if (one.do === 'heartbeat') {
          const outcome = await staleOr(verb.heartbeat(step.id, epoch))
          expect(outcome).toBe(isLease ? 'done' : 'stale')
          if (isLease) step.until = clock.now() + LEASE_MS
        } else if (one.do === 'fail') {
          expect(await staleOr(verb.fail(step.id, epoch, one.kind))).toBe(
            isLease ? 'done' : 'stale',
          )
          if (isLease) oracle.fail(step, one.kind)
        } else {
          // A completion whose reply was lost comes again, and is answered as the first.
          const repeated = step.state === 'done' && step.epoch === epoch
          const outcome = await staleOr(verb.finish(step.id, epoch, outcomeOf(step, shards)))
          expect(outcome).toBe(isLease || repeated ? 'done' : 'stale')
          if (isLease) {
            oracle.finish(step)
            if (step.kind === 'plan') {
              await learn()
              if (shards === 0) oracle.release()
            }
          }
        }
      }
      const shown = ({ id, kind, number, state, epoch, attempts, losses }: Modelled) => ({
        id,
        kind,
        number,
        state,
        epoch,
        attempts,
        losses,
      })
      expect(await stepsOf(runId)).toEqual(oracle.steps.map(shown))
      const ofShards = oracle.steps.filter(step => step.kind === 'shard')
      const done = ofShards.filter(step => step.state === 'done')
      expect(await runOf(runId)).toMatchObject({
        state: oracle.state,
        rows_done: oracle.rowsDone,
        rows_failed: oracle.rowsFailed,
        steps_total: ofShards.length,
        steps_left: ofShards.length - done.length,
        result_key: oracle.state === 'done' ? 'result of merge 0' : null,
      })
      const receipts = await rowsOf(
        `select work, rows::int from receipts where work like $1 || '/%' order by work`,
        runId,
      )
      expect(receipts).toEqual(
        done.map(({ number }) => ({ work: `${runId}/${number}`, rows: 10 - (number % 3) })),
      )
    }),
    { numRuns: 40 },
  )
})

test('shards that end at once, each reported twice, release the merge exactly once', async () => {
  const clock = handClock()
  const verb = verbs(clock)
  const { id: runId } = await verb.start()
  const [plan] = await stepsOf(runId)
  await verb.lease(plan.id, 'runner-0')
  await verb.finish(plan.id, 1, outcomeOf(plan, 8))
  const shards = (await stepsOf(runId)).filter(step => step.kind === 'shard')
  await Promise.all(shards.map(step => verb.lease(step.id, 'runner-0')))
  await Promise.all([...shards, ...shards].map(step => verb.finish(step.id, 1, outcomeOf(step, 8))))
  const merge = (await stepsOf(runId)).find(step => step.kind === 'merge')
  const promised = await admin.query(`select 1 from outbox where body->>'stepId' = $1`, [merge.id])
  expect(promised.rowCount).toBe(1)
  expect(await runOf(runId)).toMatchObject({ rows_done: 80, rows_failed: 7, steps_left: 0 })
  const { total } = await inTenant({ db }, tenantId, unit =>
    usage.totals(unit, { from: new Date(clock.now()).toISOString() }),
  )
  expect(total.rows).toBeGreaterThanOrEqual(73)
})

test('of many runners that ask for one step at once, one gets it', async () => {
  const verb = verbs(handClock())
  const { id: runId } = await verb.start()
  const [plan] = await stepsOf(runId)
  const replies = await Promise.all(
    Array.from({ length: 8 }, (_, i) => verb.lease(plan.id, `runner-${i}`)),
  )
  expect(replies.filter(reply => reply.status === 'leased')).toHaveLength(1)
  expect(replies.filter(reply => reply.status === 'held')).toHaveLength(7)
})

test('a step that ends its runner every time fails its run in the end, instead of killing runners for ever', async () => {
  const clock = handClock()
  const verb = verbs(clock)
  const { id: runId } = await verb.start()
  const [plan] = await stepsOf(runId)
  for (let turn = 0; turn <= LOSSES_MAX; turn++) {
    expect((await verb.lease(plan.id, `runner-${turn}`)).status).toBe('leased')
    clock.forward(LEASE_MS + 1)
  }
  expect((await verb.lease(plan.id, 'runner-last')).status).toBe('gone')
  expect(await runOf(runId)).toMatchObject({ state: 'failed' })
  const [{ error }] = await rowsOf('select error from runs where id = $1', runId)
  expect(error).toMatchObject({ code: 'runner_lost' })
})

test('a run that expires is fenced off: what its runner brings afterwards changes nothing', async () => {
  const clock = handClock()
  const verb = verbs(clock)
  const { id: runId } = await verb.start()
  const [plan] = await stepsOf(runId)
  await verb.lease(plan.id, 'runner-0')
  clock.forward(3_600_001)
  await jobs.sweep.expireRuns({ db, clock })
  expect(await runOf(runId)).toMatchObject({ state: 'expired' })
  expect(await staleOr(verb.finish(plan.id, 1, outcomeOf(plan, 2)))).toBe('stale')
  expect(await staleOr(verb.heartbeat(plan.id, 1))).toBe('stale')
  expect((await stepsOf(runId)).map(step => step.state)).toEqual(['canceled'])
})

test('a step whose message was lost is put on the queue again, one that is held is left alone', async () => {
  const clock = handClock()
  const verb = verbs(clock)
  const [silent, held] = await Promise.all([verb.start(), verb.start()])
  const [[silentPlan], [heldPlan]] = await Promise.all([stepsOf(silent.id), stepsOf(held.id)])
  clock.forward(120_000)
  await verb.lease(heldPlan.id, 'runner-0')
  await admin.query('delete from outbox')
  await jobs.sweep.requeueSilentSteps({ db, clock })
  const { rows } = await admin.query(`select body->>'stepId' as step from outbox`)
  const queued = rows.map(row => row.step)
  expect(queued).toContain(silentPlan.id)
  expect(queued).not.toContain(heldPlan.id)
})
