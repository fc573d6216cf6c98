/** Runners of classes of hardware at real queues: what each received, and what each did. */
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { eq } from 'drizzle-orm'
import * as blobKeys from '#core/blob-keys.ts'
import type { Queue } from '#core/deps.ts'
import { openSigner, openVerifier, placeKey } from '#core/internal/signing.ts'
import * as jobs from '#core/jobs/jobs.ts'
import * as models from '#core/models/models.ts'
import * as outbox from '#core/outbox.ts'
import { createApi } from '#functions/api.ts'
import type { FunctionsDeps } from '#functions/deps.ts'
import { openControl } from '#gpu-runners/control.ts'
import { UNPROTECTED } from '#gpu-runners/leaving/protection.ts'
import { type StepDeps, steps } from '#gpu-runners/steps.ts'
import { type ValidationDeps, validations } from '#gpu-runners/validations.ts'
import { folderBlobs } from '#platform/blob/folder.ts'
import { newId, type RunId } from '#schemas/ids.ts'
import { QUEUES, type QueueName, queuesOf } from '#schemas/queues.ts'
import { steps as stepRows } from '#schemas/tables/jobs.ts'
import { files, modelVersions } from '#schemas/tables/models.ts'
import { callOf, systemClock as clock, inTenant, newTenant } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'
import { mlp } from '#tests/models.ts'

export type Kind = { hardware: string; isDedicated: boolean }
export type Runner = Kind & {
  /** Ids of steps and versions, as their messages came. */
  received: string[]
  /** Runs whose steps it worked on, by what they ask for. */
  worked: { run: string; hardware: string | undefined }[]
  stop(): Promise<void>
}
export type Scene = Awaited<ReturnType<typeof openScene>>

const SUPPLIED = { suppliedClasses: ['cpu', 'gpu', 'l4', 'arm'] }
const SIGNATURE = { inputs: [], outputs: [], batching: 'invariant' as const }
const SECRET = 'a secret of the test alone, long enough'
const GRAPH = mlp(1, [4, 4])
const SHA256 = createHash('sha256').update(GRAPH).digest('hex')
const log = { info() {}, error() {} }

/** `queue`: empty, with the settings of the table. */
export async function openScene(queue: Queue) {
  const { db, admin } = await testDatabase()
  const folder = mkdtempSync(join(tmpdir(), 'galley-classes-'))
  const blobs = folderBlobs({ root: folder })
  const { tenantId } = await newTenant(db)
  await blobs.put(blobKeys.file(tenantId, SHA256), GRAPH)
  const tenant = <T>(work: Parameters<typeof inTenant<T>>[2]) => inTenant({ db }, tenantId, work)
  const size = GRAPH.length
  await tenant(({ tx }) => tx.insert(files).values({ tenantId, sha256: SHA256, size }))

  const key = await placeKey(SECRET, 'runner')
  const api = createApi({
    db,
    queue,
    clock,
    log,
    verifier: await openVerifier({ runner: key }),
    ...SUPPLIED,
    promised() {},
  } as unknown as FunctionsDeps)
  const signer = await openSigner('runner', key)
  const control = openControl({ url: 'http://functions', functions: api, signer, clock }, 5)
  let made = 0

  /** Steps whose first message older code sends, which knows one queue for all. */
  const old = new Set<string>()
  const sending: Queue = {
    ...queue,
    async send(name, messages) {
      const isOld = ({ body }: { body: string }) => old.delete(JSON.parse(body).stepId)
      const { true: misplaced = [], false: placed = [] } = Object.groupBy(messages, message =>
        isOld(message) ? 'true' : 'false',
      )
      if (misplaced.length > 0) await queue.send('work', misplaced)
      if (placed.length > 0) await queue.send(name, placed)
    },
  }
  const relaying = new AbortController()
  const relayed = relayUntil(relaying.signal)
  async function relayUntil(signal: AbortSignal) {
    while (!signal.aborted) {
      await outbox.relay({ db, queue: sending })
      await sleep(20, undefined, { signal }).catch(() => {})
    }
  }

  async function publish(hardware: string | undefined) {
    const model = `m${made++}`
    const given = { model, files: [{ path: 'm.onnx', sha256: SHA256, size }], hardware }
    await tenant(unit => models.publish({ ...unit, ...SUPPLIED }, callOf(tenantId), given))
    return model
  }
  const version = (model: string) => tenant(unit => models.version(unit, { model, version: '1' }))

  function start(kind: Kind): Runner {
    const ending = new AbortController()
    const name = `runner-${made++}`
    const received: string[] = []
    const worked: Runner['worked'] = []
    const { hardware } = kind
    const noting: Queue = {
      ...queue,
      async receive(from, options) {
        // Heard to its end: a server of SQS gives messages to readers that have gone.
        const { signal: _, waitS, ...rest } = options
        const messages = await queue.receive(from, { ...rest, waitS: Math.min(waitS, 1) })
        for (const { body } of messages) {
          const { stepId, versionId } = JSON.parse(body)
          received.push(stepId ?? versionId)
        }
        return messages
      },
    }
    const shared = { queue: noting, control, log, hardware, protection: UNPROTECTED }
    const work: StepDeps['work'] = async ({ kind: what, runId, spec }) => {
      worked.push({ run: runId, hardware: 'hardware' in spec ? spec.hardware : undefined })
      if (what === 'plan') return { kind: 'plan', rows: 0, shards: [] }
      return { kind: 'merge', key: 'k', size: 0, sha256: SHA256 }
    }
    // What has begun ends: nothing is left under a lease.
    const signals = { draining: ending.signal, givingUp: new AbortController().signal }
    const judging = { ...shared, queues: queuesOf('validate', kind), blobs, providers: ['cpu'] }
    const loops = [
      steps({ ...shared, queues: queuesOf('work', kind), runner: name, work }, signals),
      // On a CPU alone: an engine of its own is not asked.
      validations(judging as unknown as ValidationDeps, ending.signal),
    ]
    const stop = async () => {
      ending.abort()
      await Promise.all(loops)
    }
    return { ...kind, received, worked, stop }
  }

  const scene = {
    admin,
    queue,
    start,
    version,
    publish,
    /** A version that is ready, whoever would have judged it. */
    async ready(hardware: string | undefined) {
      const model = await publish(hardware)
      const verdict = { ok: true as const, signature: SIGNATURE, report: {} }
      const rows = await tenant(({ tx }) => tx.select().from(modelVersions))
      const { id } = rows.find(row => row.model === model)!
      await tenant(unit => models.validation.judge(unit, id, verdict))
      return model
    },
    /** `isOld`: as an older version of the code asks for it. */
    async job(model: string, hardware: string | undefined, isOld = false) {
      const input = { sha256: SHA256, size: 0, format: 'jsonl' as const }
      const spec = { model, version: 1, digest: 'd'.repeat(64), input, hardware }
      return tenant(async unit => {
        const who = { tenantId, keyId: newId('key'), project: null, tags: {} }
        const plan = { kind: 'inference', first: 'plan', spec, expiresInS: 3600 } as const
        const { id } = await jobs.begin(unit, who, plan)
        if (isOld) {
          const of = eq(stepRows.runId, id as RunId)
          for (const step of await unit.tx.select().from(stepRows).where(of)) old.add(step.id)
        }
        return id as RunId
      })
    },
    async states(ids: readonly string[]) {
      const { rows } = await admin.query('select state from runs where id = any($1)', [ids])
      return rows.map(({ state }) => state as string)
    },
    /** Messages that were received too often, over all queues. */
    async dead() {
      const names = Object.keys(QUEUES) as QueueName[]
      const counts = await Promise.all(names.map(name => queue.dead(name)))
      return counts.reduce((sum, count) => sum + count, 0)
    },
    async close() {
      relaying.abort()
      await relayed
      rmSync(folder, { recursive: true, force: true })
    },
  }
  return scene
}

export async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(50)
}
