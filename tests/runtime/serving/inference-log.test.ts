/** The inference log: kept once, sealed whole, gone when its time is over or its subject asks; whoever dies in between. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import * as events from '#core/events/events.ts'
import * as inferences from '#core/inference/log/log.ts'
import { tensorsText } from '#core/inference/log/tensors-text.ts'
import { decodeRequest } from '#core/inference/oip.ts'
import { inferenceFilesIn } from '#functions/segments/inference-files.ts'
import { folderBlobs } from '#platform/blob/folder.ts'
import { newId, type TenantId } from '#schemas/ids.ts'
import { models } from '#schemas/tables/models.ts'
import { modelServing } from '#schemas/tables/serving.ts'
import { callOf, inTenant, newTenant } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'
import { mortal, newScene } from '../events/scene.ts'
import { inputs, signature } from './asking.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const SUBJECT = 'anna-4711-1234'
const { db, admin } = await testDatabase()
const root = mkdtempSync(join(tmpdir(), 'galley-inferences-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
const scene = {
  ...(await newScene(db)),
  blobs: folderBlobs({ root }),
  inferenceFiles: inferenceFilesIn(tmpdir()),
}
const SETTING = { sample: 1, retention_days: 7, subject: { entity: 'card', parameter: 'card' } }

async function keeping(): Promise<TenantId> {
  const { tenantId } = await newTenant(db)
  await inTenant({ db }, tenantId, async ({ tx }) => {
    await tx.insert(models).values({ tenantId, name: 'm' })
    await tx.insert(modelServing).values({ tenantId, model: 'm', inferenceLog: SETTING })
  })
  return tenantId
}

const logged = (
  tenantId: TenantId,
  subject: string,
  at = scene.clock.now(),
): inferences.Logged => ({
  tenantId,
  id: newId('request', at),
  model: 'm',
  version: 3,
  digest: 'd'.repeat(64),
  at,
  keyId: newId('key'),
  receipt: 'rcp_1',
  features: null,
  subjectEntity: 'card',
  subject,
  rows: 1,
  inputs: '{"x":{"datatype":"INT64","shape":[1],"data":["4611686018427387905"]}}',
  outputs: '{"y":{"datatype":"FP32","shape":[1],"data":[0.5]}}',
})

type Line = { id: string; subject: string; inputs: string; hour: string }

/** Everything that is kept of a tenant, rows and files, by other means than those of the product. */
async function all(tenantId: TenantId): Promise<Line[]> {
  const { rows } = await admin.query<Line>(
    'select id, subject, inputs from inference_log where tenant_id = $1',
    [tenantId],
  )
  const segments = await admin.query<{ blob: string }>(
    `select blob from inference_segments where tenant_id = $1 and state = 'sealed'`,
    [tenantId],
  )
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  for (const { blob } of segments.rows) {
    const path = await scene.blobs.localFile(blob)
    const read = await connection.runAndReadAll(
      `select id, subject, inputs, date_trunc('hour', answered_at)::varchar as hour from read_parquet('${path}')`,
    )
    rows.push(...(read.getRowObjects() as unknown as Line[]))
  }
  connection.closeSync()
  instance.closeSync()
  return rows
}

/** Does it again and again, dying a little later each time, until it lives. */
async function throughDeaths(work: (deps: typeof scene) => Promise<unknown>): Promise<void> {
  for (let dies = 0; ; dies++) {
    let isDead = false
    const log = {
      info() {},
      error() {
        isDead = true
      },
    }
    await work({ ...mortal(scene, dies), log }).catch(() => {
      isDead = true
    })
    if (dies > 400) throw new Error('it dies for ever')
    if (!isDead) return
    // The lease of the dead is waited for.
    scene.clock.forward(301_000)
  }
}

test('told twice is kept once; of a model that keeps nothing any more, nothing', async () => {
  const tenantId = await keeping()
  const some = [logged(tenantId, 'a'), logged(tenantId, 'b')]
  expect(await inferences.record({ db }, some)).toBe(2)
  expect(await inferences.record({ db }, [...some, logged(tenantId, 'c')])).toBe(1)
  await admin.query('update model_serving set inference_log = null where tenant_id = $1', [
    tenantId,
  ])
  expect(await inferences.record({ db }, [logged(tenantId, 'd')])).toBe(0)
  expect((await all(tenantId)).map(({ subject }) => subject).sort()).toEqual(['a', 'b', 'c'])
})

test('hours become files through any death, with every row once, to the letter', async () => {
  const tenantId = await keeping()
  const start = Math.floor(scene.clock.now() / HOUR) * HOUR
  const some = Array.from({ length: 230 }, (_, i) =>
    logged(tenantId, `s${i % 3}`, start + (i % 2) * HOUR + i * 1_000),
  )
  await inferences.record({ db }, some)
  scene.clock.forward(3 * HOUR)
  await throughDeaths(deps => inferences.sealDue(deps))
  const lines = await all(tenantId)
  expect(lines.map(({ id }) => id).sort()).toEqual(some.map(({ id }) => id).sort())
  expect(new Set(lines.map(({ inputs }) => inputs))).toEqual(new Set([some[0]!.inputs]))
  const { rows } = await admin.query(
    `select hour, state, rows from inference_segments where tenant_id = $1 order by hour`,
    [tenantId],
  )
  expect(rows.map(({ rows, state }) => [rows, state])).toEqual([
    [115, 'sealed'],
    [115, 'sealed'],
  ])
  const left = await admin.query('select 1 from inference_log where tenant_id = $1', [tenantId])
  expect(left.rowCount).toBe(0)
  expect((await scene.blobs.list(`${tenantId}/inferences/`)).length).toBe(2)
})

test('who stops at any moment until another has done its work changes nothing when it goes on', async () => {
  for (let stopsAt = 0; ; stopsAt++) {
    const tenantId = await keeping()
    const some = Array.from({ length: 3 }, (_, i) => logged(tenantId, `s${i}`))
    await inferences.record({ db }, some)
    scene.clock.forward(2 * HOUR)
    let calls = 0
    const around = async <T>(work: () => Promise<T>): Promise<T> => {
      if (calls++ === stopsAt) {
        // Its lease ends meanwhile.
        scene.clock.forward(301_000)
        await inferences.sealDue(scene)
      }
      return work()
    }
    const { blobs } = scene
    const slow: typeof scene = {
      ...scene,
      log: { info() {}, error() {} },
      db: {
        ...db,
        tenant: (id, work) =>
          id === tenantId ? around(() => db.tenant(id, work)) : db.tenant(id, work),
      },
      blobs: {
        ...blobs,
        put: (...args: Parameters<typeof blobs.put>) =>
          args[0].startsWith(tenantId) ? around(() => blobs.put(...args)) : blobs.put(...args),
      },
    }
    await inferences.sealDue(slow)
    expect((await all(tenantId)).map(({ id }) => id).sort()).toEqual(
      some.map(({ id }) => id).sort(),
    )
    const kept = await admin.query('select 1 from inference_segments where tenant_id = $1', [
      tenantId,
    ])
    expect(await scene.blobs.list(`${tenantId}/inferences/`)).toHaveLength(kept.rowCount!)
    if (calls <= stopsAt) break
  }
})

test('whoever dies while a subject is erased, in the end nothing holds it, and of the others all is there', async () => {
  const tenantId = await keeping()
  const people = [SUBJECT, 'other-1', 'other-2']
  const some = Array.from({ length: 30 }, (_, i) => logged(tenantId, people[i % 3]!))
  await inferences.record({ db }, some)
  scene.clock.forward(2 * HOUR)
  await inferences.sealDue(scene)
  const unsealed = [logged(tenantId, SUBJECT), logged(tenantId, 'other-1')]
  await inferences.record({ db }, unsealed)
  const who = { entity: 'card', entityKey: SUBJECT }
  await throughDeaths(deps =>
    events
      .holding(deps, tenantId, held => inferences.erase(deps, tenantId, who, held))
      .then(done => {
        if (done === null) throw new Error('held by another')
      }),
  )
  const others = [...some, ...unsealed].filter(({ subject }) => subject !== SUBJECT)
  expect((await all(tenantId)).map(({ id }) => id).sort()).toEqual(
    others.map(({ id }) => id).sort(),
  )
  // The file with the subject is gone itself, not only from the manifest.
  expect(await scene.blobs.list(`${tenantId}/inferences/`)).toHaveLength(1)
})

test('a subject of a model alone, of which no event tells, can be erased', async () => {
  const tenantId = await keeping()
  const ask = (entity: string) =>
    inTenant({ db }, tenantId, unit =>
      events.requestErasure(unit, callOf(tenantId), { entity, key: SUBJECT }),
    )
  await expect(ask('nobody')).rejects.toMatchObject({ code: 'not_found' })
  expect((await ask('card')).state).toBe('queued')
})

test('a file stays for as many days as were said, and then it is gone with its bytes', async () => {
  const tenantId = await keeping()
  await inferences.record({ db }, [logged(tenantId, 'a')])
  scene.clock.forward(2 * HOUR)
  await inferences.sealDue(scene)
  scene.clock.forward(6 * DAY)
  await inferences.expireDue(scene)
  expect(await all(tenantId)).toHaveLength(1)
  scene.clock.forward(DAY + HOUR)
  await throughDeaths(deps => inferences.expireDue(deps))
  expect(await all(tenantId)).toHaveLength(0)
  expect(await scene.blobs.list(`${tenantId}/inferences/`)).toEqual([])
})

test('tensors can be had again from what is kept, to the bit', () => {
  fc.assert(
    fc.property(inputs, tensors => {
      const kept = JSON.parse(tensorsText(tensors)) as Record<string, object>
      const body = Buffer.from(
        JSON.stringify({ inputs: Object.entries(kept).map(([name, each]) => ({ name, ...each })) }),
      )
      const again = decodeRequest({ body, jsonLength: null, signature }).inputs
      const bitsOf = (all: typeof tensors) =>
        all.map(({ data }) =>
          Array.isArray(data)
            ? data.map(each => Buffer.from(each).toString('hex'))
            : Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex'),
        )
      // JSON has one zero and no sign for it.
      const unsigned = tensors.map(each =>
        each.datatype === 'FP32'
          ? { ...each, data: (each.data as Float32Array).map(value => (value === 0 ? 0 : value)) }
          : each,
      )
      expect(bitsOf(again)).toEqual(bitsOf(unsigned))
    }),
  )
})
