/** Every bundle as Lambda runs it: alone in its folder, told by its environment, frozen after each reply. */
import { createHash, randomUUID } from 'node:crypto'
import { PutObjectCommand } from '@aws-sdk/client-s3'
import { ReceiveMessageCommand } from '@aws-sdk/client-sqs'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { FUNCTION_NAMES } from '#schemas/cloud/functions.ts'
import { newId, type TenantId } from '#schemas/ids.ts'
import { SCHEDULES } from '#schemas/schedules.ts'
import { callerOf, tenantIn } from './caller.ts'
import { BUCKET, type Cloud, SHORT_SECRET, startCloud } from './cloud.ts'
import type { Outcome } from './host.ts'
import { sqsEvent } from './messages.ts'

let cloud: Cloud
let tenantId: TenantId
beforeAll(async () => {
  cloud = await startCloud(inject('bundles'))
})
afterAll(() => cloud.close())

// biome-ignore lint/suspicious/noExplicitAny: each function has an answer of its own
const answerOf = (outcome: Outcome): any => {
  if ('fault' in outcome) throw new Error(JSON.stringify(outcome.fault))
  return outcome.value
}
const faultOf = (outcome: Outcome): string => {
  if (!('fault' in outcome)) throw new Error('did not fail')
  return outcome.fault.errorMessage
}
const promisedRows = async () =>
  (await cloud.admin.query('select count(*)::int as n from outbox')).rows[0].n
async function promise(text: string): Promise<void> {
  await cloud.admin.query(
    `insert into outbox (tenant_id, queue, body, delay_s) values ($1, 'work', $2, 0)`,
    [tenantId, JSON.stringify({ stepId: text })],
  )
}
/** What a job needs to be made. */
async function modelAndFile(): Promise<string> {
  const sha256 = 'e'.repeat(64)
  await cloud.admin.query(`insert into files (tenant_id, sha256, size) values ($1, $2, 9)`, [
    tenantId,
    sha256,
  ])
  await cloud.admin.query(`insert into models (tenant_id, name, last_number) values ($1, 'm', 1)`, [
    tenantId,
  ])
  const version = { digest: 'd'.repeat(64), manifest: { graph: 'm.onnx', files: [] } }
  await cloud.admin.query(
    `insert into model_versions (tenant_id, id, model, number, digest, state, manifest, signature)
     values ($1, $2, 'm', 1, $3, 'ready', $4, $5)`,
    [
      tenantId,
      newId('version'),
      version.digest,
      version.manifest,
      { inputs: [], outputs: [], batching: 'invariant' },
    ],
  )
  return sha256
}
async function sent(): Promise<string[]> {
  const bodies: string[] = []
  for (;;) {
    const command = new ReceiveMessageCommand({
      QueueUrl: cloud.queues.work,
      MaxNumberOfMessages: 10,
    })
    const { Messages = [] } = await cloud.sqs.send(command)
    if (Messages.length === 0) return bodies.map(body => JSON.parse(body).stepId)
    bodies.push(...Messages.map(message => message.Body!))
  }
}

test('migrations run from their function as the owner that RDS makes, once, whoever else runs them too', async () => {
  const [first, second] = await Promise.all([cloud.start('migrate'), cloud.start('migrate')])
  const reports = (await Promise.all([first.invoke({}), second.invoke({})])).map(answerOf)
  const applied = reports.map(report => report.applied).sort((a, b) => a - b)
  expect(applied[0]).toBe(0)
  expect(applied[1]).toBeGreaterThan(10)
  expect(reports[0].newest).toMatch(/^\d{4}_/)
  expect(await promisedRows()).toBe(0)
  tenantId = (await tenantIn(cloud)).tenantId
})

test('every function starts in an empty folder with what the stacks tell it, and is frozen until it is invoked', async () => {
  for (const name of FUNCTION_NAMES) {
    const host = await cloud.start(name)
    expect(await host.initMs, name).toBeGreaterThan(0)
    expect(host.isFrozen()).toBe(true)
    await host.close()
  }
})

test.for(FUNCTION_NAMES)('%s says as it starts what its environment lacks', async name => {
  const host = await cloud.start(name, {
    GALLEY_DATABASE_SECRET_ARN: 'the password itself',
    GALLEY_DATABASE_HOST: undefined,
  })
  const said = await host.initMs.catch(error => String(error))
  expect(said).toContain('GALLEY_DATABASE_HOST')
  expect(said).toContain('GALLEY_DATABASE_SECRET_ARN')
  expect(said).toContain('must name a secret by its ARN')
  expect(said).not.toContain('the password itself')
})

test('a secret without a value, and one that the role may not read, are named with what to do', async () => {
  const empty = await cloud.start('relay', { GALLEY_DATABASE_SECRET_ARN: cloud.emptySecretArn })
  const saidOfEmpty = await empty.initMs.catch(error => String(error))
  expect(saidOfEmpty).toContain(cloud.emptySecretArn)
  expect(saidOfEmpty).toContain('aws secretsmanager put-secret-value')
  const foreign = 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:foreign'
  const denied = await cloud.start('relay', { GALLEY_DATABASE_SECRET_ARN: foreign })
  const saidOfDenied = await denied.initMs.catch(error => String(error))
  expect(saidOfDenied).toContain(`${foreign} cannot be read: the role of this function may not`)
})

test('a secret that cannot be right is named with what would be, and none of it is told', async () => {
  const arn = cloud.shortSecretArn
  const weak = await cloud.start('relay', { GALLEY_DEPLOYMENT_SECRET_ARN: arn })
  const saidOfWeak = await weak.initMs.catch(error => String(error))
  expect(saidOfWeak).toContain(`${arn} has 7 characters, and needs at least 32`)
  const strange = await cloud.start('migrate', { GALLEY_OWNER_SECRET_ARN: arn })
  const saidOfStrange = faultOf(await strange.invoke({}))
  expect(saidOfStrange).toContain(
    'GALLEY_OWNER_SECRET_ARN names a secret that is not what RDS writes',
  )
  const all = [saidOfWeak, saidOfStrange, weak.output(), strange.output()].join('\n')
  expect(all).not.toContain(SHORT_SECRET)
})

test('of a batch of messages exactly those come again that could not be taken', async () => {
  const host = await cloud.start('ingest')
  const records = [
    JSON.stringify({ tenantId, events: [] }),
    'not JSON',
    JSON.stringify({ tenantId, events: [] }),
    JSON.stringify({ tenantId, events: [{ key: 'f'.repeat(32), type: 'unheard', version: 99 }] }),
  ].map((body, at) => ({ messageId: `m${at}`, receiptHandle: `r${at}`, body }))
  const failures = [{ itemIdentifier: 'm1' }, { itemIdentifier: 'm3' }]
  expect(answerOf(await host.invoke(sqsEvent(records)))).toEqual({ batchItemFailures: failures })
  const good = sqsEvent([records[0]!, records[2]!])
  expect(answerOf(await host.invoke(good))).toEqual({ batchItemFailures: [] })
  expect(faultOf(await host.invoke({ detail: {} }))).toContain('takes messages of SQS as "Records"')
})

test('a body that is larger than a message comes from its blob, and one that is gone fails alone', async () => {
  const body = JSON.stringify({ tenantId, events: [], filling: 'é'.repeat(200_000) })
  const sha256 = createHash('sha256').update(body).digest('hex')
  const pointerTo = (key: string) => ({ key, size: Buffer.byteLength(body), sha256 })
  const stored = { Bucket: BUCKET, Body: body, Metadata: { sha256 } }
  const keys = [randomUUID(), randomUUID()].map(id => `messages/events/${id}`)
  await cloud.s3.send(new PutObjectCommand({ ...stored, Key: `blobs/${keys[0]}` }))
  const records = keys.map((key, at) => ({
    messageId: `m${at}`,
    receiptHandle: `r${at}`,
    body: JSON.stringify(pointerTo(key)),
    messageAttributes: { GalleyBody: { stringValue: 'blob', dataType: 'String' } },
  }))
  const host = await cloud.start('ingest')
  const failures = [{ itemIdentifier: 'm1' }]
  expect(answerOf(await host.invoke(sqsEvent(records)))).toEqual({ batchItemFailures: failures })
  expect(host.output()).toContain(`the blob ${keys[1]} with its body is gone`)
})

test('what is due every second is done all through an invocation', async () => {
  await promise('before')
  const host = await cloud.start('relay', {}, 8)
  const running = host.invoke({ at: '2026-11-30T12:00:00Z' })
  while ((await promisedRows()) > 0) await new Promise(resolve => setTimeout(resolve, 20))
  await promise('meanwhile')
  const { rounds } = answerOf(await running)
  expect(rounds).toBeGreaterThan(1)
  expect(await promisedRows()).toBe(0)
  expect((await sent()).sort()).toEqual(['before', 'meanwhile'])
})

test('sweeps run in their function, and one that fails calls somebody', async () => {
  const host = await cloud.start('sweep', {}, SCHEDULES.sweep.everyS + 3)
  expect(answerOf(await host.invoke({ at: '2026-11-30T12:00:00Z' }))).toEqual({ rounds: 1 })
  const cut = await cloud.start('sweep', { GALLEY_DATABASE_HOST: '/nowhere' }, 13)
  expect(faultOf(await cut.invoke({}))).toContain('These sweeps failed')
  expect(cut.output()).toContain('"event":"functions.sweep_failed"')
})

test('the log is tended for the minute that its schedule calls for, and for nothing else', async () => {
  const host = await cloud.start('tend', {}, 60)
  expect(answerOf(await host.invoke({ at: '2026-11-30T12:01:00Z' }))).toEqual({})
  expect(faultOf(await host.invoke({}))).toContain('takes the time of its schedule')
})

test('a request reaches its route by the path that was signed, and its body as it was sent', async () => {
  const ask = await callerOf(await cloud.start('api'), tenantId)
  const body = Buffer.from(JSON.stringify({ name: 'Kürzel', scopes: ['models:read'] }))
  // What is no text for the gateway comes in base64.
  for (const type of ['application/json', 'application/octet-stream']) {
    const { status, json } = await ask('POST', '/v1/keys', { body, type })
    expect(status).toBe(201)
    expect(json.name).toBe('Kürzel')
  }
  const odd = await ask('GET', `/v1/event-types/${encodeURIComponent('a?b/c d%')}?limit=1`)
  expect(odd.status).toBe(404)
  expect(odd.headers['content-type']).toBe('application/problem+json')
  expect((await ask('GET', '/v1/keys', { as: null })).status).toBe(401)
  expect((await ask('POST', '/internal/first', { body, as: 'runner' })).status).toBe(401)
})

test('what a request promised is sent when its reply leaves, nothing of others, and nothing is left to do', async () => {
  const host = await cloud.start('api')
  const ask = await callerOf(host, tenantId)
  await promise('by another request')
  const sha256 = await modelAndFile()
  const body = Buffer.from(JSON.stringify({ model: 'm', input: { sha256, format: 'jsonl' } }))
  expect((await ask('POST', '/v1/jobs', { body })).status).toBe(202)
  expect(host.isFrozen()).toBe(true)
  expect(await sent()).toEqual([expect.stringMatching(/^stp_/)])
  expect(await promisedRows()).toBe(1)
  expect(host.output()).toContain('"event":"functions.request"')
  const { rows } = await cloud.admin.query(
    `select count(*)::int as n from pg_stat_activity where usename = 'galley_app' and state <> 'idle'`,
  )
  expect(rows[0].n).toBe(0)
})

test('a connection that was cut while the function was frozen is no fault of the next request', async () => {
  const ask = await callerOf(await cloud.start('api'), tenantId)
  for (let round = 0; round < 5; round++) {
    expect((await ask('GET', '/v1/keys')).status).toBe(200)
    await cloud.admin.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where usename = 'galley_app'`,
    )
  }
  expect((await ask('GET', '/v1/keys')).status).toBe(200)
})
