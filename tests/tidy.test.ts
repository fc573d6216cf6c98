/** The habits of the house, proven: what a reviewer would otherwise have to repeat. */
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, test } from 'vitest'
import { HeldBytes } from '#core/held-bytes.ts'
import { createApp } from '#edge/app.ts'
import { boundedHttp } from '#edge/middleware/bounded-http.ts'
import { EDGE_ENGINES } from '#edge/middleware/engines.ts'
import { webHttp } from '#edge/web-http.ts'
import { handlers } from '#functions/handlers.ts'
import { Registry } from '#platform/metrics/registry.ts'
import { ROUTES } from '#schemas/contracts/all.ts'
import type { Route } from '#schemas/route.ts'
import { type TestDatabase, testDatabase } from './database.ts'
import { coreOrder } from './tidy/core-order.ts'
import { decisions, fences, links, scripts, tested } from './tidy/documents.ts'
import { direction, packages } from './tidy/layers.ts'
import { reach } from './tidy/reach.ts'
import { planFaults, routeFaults } from './tidy/routes.ts'
import { check, type Rule } from './tidy/rule.ts'
import { folders, size } from './tidy/size.ts'
import { readSources } from './tidy/source.ts'
import { roleFaults, tableFaults } from './tidy/tables.ts'
import { consoleCalls, environment, headers, machinePaths, names, zodImport } from './tidy/words.ts'

const RULES: Rule[] = [
  direction,
  packages,
  reach,
  coreOrder,
  environment,
  consoleCalls,
  zodImport,
  names,
  machinePaths,
  headers,
  size,
  folders,
  scripts,
  decisions,
  links,
  tested,
  fences,
]

const sources = readSources(fileURLToPath(new URL('..', import.meta.url)))

describe.each(RULES)('$name', rule => {
  test('holds', () => {
    expect(check(rule, sources)).toEqual([])
  })

  test('is broken by every planted fault, and by nothing that only looks like one', () => {
    for (const plant of rule.plants) expect(rule.faults(plant), show(plant)).not.toEqual([])
    for (const spare of rule.spares ?? []) expect(rule.faults(spare), show(spare)).toEqual([])
  })

  test('keeps no exception that nothing needs', () => {
    const excepted = { ...rule, exceptions: { 'core/gone.ts': 'it was there once' } }
    expect(check(excepted, [])).toEqual([
      'core/gone.ts: needs no exception any more; take it off the list',
    ])
  })
})

const show = (plant: object) => JSON.stringify(plant)

describe('routes', () => {
  const handled = Object.keys(handlers)

  test('every route has a policy, a limit with numbers, and a handler', () => {
    expect(routeFaults(ROUTES as readonly Route[], handled)).toEqual([])
    expect(planFaults()).toEqual([])
  })

  test('a route without them is seen', () => {
    const { policy, ...bare } = ROUTES.find(route => route.name === 'jobs.create') as Route
    const planted = (part: object) => routeFaults([{ ...bare, policy, ...part }], handled)
    expect(planted({})).toEqual([])
    expect(routeFaults([bare], handled)).toHaveLength(1)
    expect(planted({ name: 'jobs.explode' })).toHaveLength(1)
    expect(planted({ policy: { ...policy, scope: 'everything' } })).toHaveLength(1)
    expect(planted({ policy: { ...policy, limit: null } })).toHaveLength(1)
    expect(planted({ policy: { ...policy, scope: 'public' } })).toHaveLength(1)
    expect(planted({ policy: { ...policy, scope: 'signed' } })).toHaveLength(1)
    expect(
      routeFaults(
        [
          { ...bare, policy },
          { ...bare, policy },
        ],
        handled,
      ),
    ).toHaveLength(1)
    expect(planFaults({ tiny: {} })).toHaveLength(6)
  })

  test('the edge has an answer to every route, and none without a key but the public ones', async () => {
    const app = createApp(edgeOfNothing())
    for (const route of ROUTES as readonly Route[]) {
      const path = route.path.replaceAll(/:[a-z_]+/g, '1')
      const { status } = await app.request(path, { method: route.method })
      if (route.policy.scope === 'public') expect([200, 503], path).toContain(status)
      else expect(status, `${route.method} ${path}`).toBe(401)
    }
  })
})

describe('tables', () => {
  let database: TestDatabase
  beforeAll(async () => {
    database = await testDatabase()
  })

  test('every table is behind row-level security, bound to one tenant', async () => {
    expect(await tableFaults(database.admin)).toEqual([])
  })

  test('the application owns nothing and bypasses nothing', async () => {
    expect(await roleFaults(database.admin)).toEqual([])
  })

  test.each([
    ['a table without a tenant', 'create table planted (a text)'],
    ['a table that is not guarded', 'create table planted (tenant_id text not null)'],
    ['a guard that the owner passes', 'alter table runs no force row level security'],
    ['a guard that is off', 'alter table receipts disable row level security'],
    ['a table without a policy', 'drop policy of_tenant on models'],
    ['a wider policy beside the first', 'create policy wide on models to galley_app using (true)'],
    ['a policy for everybody', 'create policy wide on models using (true)'],
    ['a table open to the platform', 'create policy wide on files to galley_system using (true)'],
    ['a role that passes guards', 'alter role galley_app bypassrls'],
    ['a role that owns a table', 'alter table models owner to galley_app'],
  ])('%s is seen', async (_, planted) => {
    const client = await database.admin.connect()
    try {
      await client.query('begin')
      await client.query(planted)
      const faults = [...(await tableFaults(client)), ...(await roleFaults(client))]
      expect(faults).not.toEqual([])
    } finally {
      await client.query('rollback')
      client.release()
    }
  })
})

/** An edge whose every binding is out of reach. */
function edgeOfNothing(): Parameters<typeof createApp>[0] {
  const gone = () => Promise.reject(new Error('out of reach'))
  return {
    functions: { fetch: gone },
    router: {
      infer: gone,
      load: gone,
      unload: gone,
      statistics: gone,
      ready: async () => false,
    },
    objects: { tenant: () => ({ leaseRate: gone }) },
    features: {
      partitionsPerObject: 1024,
      applyAt: gone,
      group: () => ({ apply: gone, read: gone, decide: gone, explain: gone, erase: gone }),
    },
    blobs: { put: gone, putPart: gone, get: gone },
    signer: { sign: async () => '' },
    clock: { now: () => Date.now() },
    log: { info() {}, error() {} },
    http: boundedHttp(
      webHttp,
      EDGE_ENGINES.workers,
      new HeldBytes(EDGE_ENGINES.workers.heldBytesMax),
    ),
    metrics: { registry: new Registry(), readings: gone },
    tracer: null,
    receipts: { append: gone },
    cacheBytesMax: 0,
    background: work => void work.catch(() => {}),
  }
}
