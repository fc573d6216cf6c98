/** The function that sizes the pools: from rows of waiting work to what ECS is told. */
import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import * as jobs from '#core/jobs/jobs.ts'
import { openDatabase } from '#platform/db/postgres.ts'
import { SCHEDULES } from '#schemas/schedules.ts'
import { callOf, inTenant } from '#tests/caller.ts'
import { tenantIn } from './caller.ts'
import { type Cloud, RUNNERS, SECRET, startCloud } from './cloud.ts'
import { type Gateway, serveGateway } from './gateway.ts'

const AT = { at: '2026-11-30T12:00:00Z' }
/** For one round. */
const LIMIT_S = SCHEDULES.capacity.everyS + 3
const log = { info() {}, error() {} }

let cloud: Cloud
let gateway: Gateway
beforeAll(async () => {
  cloud = await startCloud(inject('bundles'))
  await (await cloud.start('migrate')).invoke({})
  gateway = await serveGateway()
  gateway.add(await cloud.start('api'))
})
afterAll(async () => {
  await gateway.close()
  await cloud.close()
})

/** `npm run operator`, with the deployment's secret. */
async function operator(args: string[], secret = SECRET) {
  const command = ['--disable-warning=ExperimentalWarning', 'local/operator/operator.ts', ...args]
  const child = spawn(process.execPath, command, { stdio: 'pipe' })
  child.stdin.end(secret)
  const [out, said] = await Promise.all([text(child.stdout), text(child.stderr)])
  return { out, said }
}

/** A run for runners of a class, of which the first step waits. */
async function queue(hardware: string): Promise<void> {
  const { tenantId } = await tenantIn(cloud)
  const db = openDatabase({ url: cloud.appUrl, log })
  const input = { sha256: 'e'.repeat(64), size: 100, format: 'jsonl' as const }
  const spec = { model: 'm', version: 1, digest: 'd'.repeat(64), input, hardware }
  try {
    await inTenant({ db }, tenantId, unit =>
      jobs.start(unit, callOf(tenantId), {
        kind: 'inference',
        first: 'plan',
        spec,
        expiresInS: 86_400,
      }),
    )
  } finally {
    await db.close()
  }
}
const decided = async () =>
  (await cloud.admin.query('select hardware, spot from capacity_decisions order by id')).rows

test('work that waits for a class gets a runner of that class, and the decision is kept with its reasons', async () => {
  await queue('cpu')
  const host = await cloud.start('capacity', {}, LIMIT_S)
  expect(await host.invoke(AT), host.output()).toEqual({ value: { rounds: 1 } })
  expect(Object.fromEntries(cloud.wanted)).toEqual({ [`${RUNNERS}-cpu`]: 1, [`${RUNNERS}-gpu`]: 0 })
  expect(await decided()).toEqual([
    { hardware: 'cpu', spot: 1 },
    { hardware: 'gpu', spot: 0 },
  ])
  expect(host.output()).toContain('There is work and no runner.')
})

test('a pool whose service is gone calls somebody, and keeps no other from its runners', async () => {
  await queue('gpu')
  const pools = JSON.stringify({
    cpu: { service: 'gone', floor: 0, ceiling: 4 },
    gpu: { service: `${RUNNERS}-gpu`, floor: 0, ceiling: 4 },
  })
  const host = await cloud.start('capacity', { GALLEY_RUNNER_POOLS: pools }, LIMIT_S)
  const outcome = await host.invoke(AT)
  expect(outcome).toMatchObject({
    fault: { errorMessage: 'These pools were not sized, see the log: cpu' },
  })
  expect(host.output()).toContain(`ECS has no service ${RUNNERS}/gone (MISSING)`)
  expect(cloud.wanted.get(`${RUNNERS}-gpu`)).toBe(1)
})

test('pools that are named in no way that it knows are refused at its start, with what would be right', async () => {
  for (const [told, said] of [
    ['{', 'must be JSON'],
    ['{"tpu":{"service":"s","floor":0,"ceiling":1}}', 'tpu'],
    ['{"cpu":{"service":"","floor":-1,"ceiling":0}}', 'GALLEY_RUNNER_POOLS'],
  ] as const) {
    const host = await cloud.start('capacity', { GALLEY_RUNNER_POOLS: told })
    const refusal = await host.initMs.catch(error => String(error))
    expect(refusal).toContain('GALLEY_RUNNER_POOLS')
    expect(refusal).toContain(said)
  }
})

test('the operator is told how many runners there are to be, and why, and nobody without the secret is', async () => {
  const at = ['--functions', gateway.url]
  const shown = JSON.parse((await operator(['capacity', 'show', ...at, '--json'])).out)
  expect(shown).toMatchObject([
    { hardware: 'cpu', spot: 1, on_demand: 0, needed: 1 },
    { hardware: 'gpu', spot: 1, on_demand: 0, needed: 1 },
  ])
  const { out } = await operator(['capacity', 'explain', 'cpu', ...at])
  expect(out).toContain('cpu: 1 runners (1 spot, 0 on-demand), work for 1; since ')
  expect(out).toContain('There is work and no runner.')
  expect(out).not.toContain('gpu: ')
  const stranger = await operator(
    ['capacity', 'show', ...at],
    'another secret than that of this place',
  )
  expect(stranger).toMatchObject({ out: '', said: expect.stringContaining('answered 401') })
  const mistaken = await operator(['capacity', 'guess', ...at])
  expect(mistaken.said).toBe('"capacity" takes "show" or "explain", and not "guess".\n')
})
