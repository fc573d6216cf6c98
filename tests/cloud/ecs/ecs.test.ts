/** The suite of runner pools over services of ECS, and what only ECS in the cloud does. */
import {
  CreateClusterCommand,
  CreateServiceCommand,
  DescribeServicesCommand,
  ECSClient,
  RegisterTaskDefinitionCommand,
} from '@aws-sdk/client-ecs'
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest'
import type { RunnerPool } from '#core/capacity/capacity.ts'
import * as models from '#core/models/models.ts'
import { ecsRunners } from '#platform/capacity/ecs.ts'
import { handClock } from '#tests/caller.ts'
import { testDatabase } from '#tests/database.ts'
import { BOUNDS, runnerPoolSuite } from '../../conformance/pools/runner-pool.ts'
import { type Faulty, first, startFaulty } from '../faulty.ts'
import { clientConfig } from '../servers.ts'
import { serveEcs } from './ecs-server.ts'

const { db } = await testDatabase()
const CLUSTER = 'galley-test-runners'
const SERVICE = 'galley-test-runners-cpu'
const price = { usdPerHour: 0.07, interruptionsPerHour: 0, billedLeastS: 0 }
/** Runners announce themselves every ten seconds, and are gone after 45 of silence. */
const ROUND_MS = 10_000
const ROUNDS = 5
let made = 0

const clientOf = (endpoint: string) => new ECSClient({ ...clientConfig(endpoint), maxAttempts: 3 })

/** The service as the stacks make it, with nothing in it, at one of the servers. */
type Place = { endpoint: string; cluster: string; close(): Promise<void> }
async function ownServer(): Promise<Place> {
  const { endpoint, close } = await serveEcs(CLUSTER, new Map([[SERVICE, 0]]))
  return { endpoint, cluster: CLUSTER, close }
}
async function onMoto(endpoint: string): Promise<Place> {
  const client = clientOf(endpoint)
  const cluster = `${CLUSTER}-${made++}`
  await client.send(new CreateClusterCommand({ clusterName: cluster }))
  const containerDefinitions = [{ name: 'runner', image: 'runner', memory: 512 }]
  await client.send(new RegisterTaskDefinitionCommand({ family: 'runner', containerDefinitions }))
  await client.send(
    new CreateServiceCommand({
      ...{ cluster, serviceName: SERVICE, taskDefinition: 'runner', desiredCount: 0 },
      capacityProviderStrategy: [
        { capacityProvider: 'cpu-floor', base: BOUNDS.floor, weight: 0 },
        { capacityProvider: 'cpu-spot', base: 0, weight: 1 },
      ],
    }),
  )
  const close = async () => {
    client.destroy()
  }
  return { endpoint, cluster, close }
}
const moto = inject('clouds').find(({ name }) => name === 'moto')
const PLACES = [
  { name: 'a server of our own', open: ownServer },
  ...(moto ? [{ name: 'moto', open: () => onMoto(moto.endpoint) }] : []),
]

for (const { name, open } of PLACES) {
  runnerPoolSuite({
    name: `ECS (${name})`,
    async open() {
      const clock = handClock()
      const { endpoint, cluster, close } = await open()
      const client = clientOf(endpoint)
      const hardware = `class-${made++}`
      const markets = { spot: price, on_demand: price }
      const of = { cluster, service: SERVICE, hardware, markets, bounds: BOUNDS }
      let running: string[] = []

      /** What ECS and its tasks do by themselves: as many as it was told, each announcing itself. */
      async function settled(): Promise<void> {
        const asked = new DescribeServicesCommand({ cluster, services: [SERVICE] })
        const wanted = (await client.send(asked)).services![0]!.desiredCount!
        running = running.slice(0, wanted)
        while (running.length < wanted) running.push(`${hardware}-${made++}`)
        for (let round = 0; round < ROUNDS; round++) {
          clock.forward(ROUND_MS)
          for (const name of running) await announce(name)
        }
      }
      const announce = (name: string) =>
        db.system(tx =>
          models.hardware.announce(
            { tx, clock },
            {
              name,
              hardware,
              providers: ['cpu'],
              lacks: null,
              cores: 4,
              modelMemoryMb: 512,
              onlineShare: 0,
              warmModels: 0,
            },
          ),
        )
      return {
        pool: ecsRunners({ client, db, clock }, of),
        settled,
        async lose() {
          running.shift()
        },
        async close() {
          client.destroy()
          await close()
        },
      }
    },
  })

  describe(`ECS (${name}) in trouble`, () => {
    let place: Place
    let faulty: Faulty
    let client: ECSClient
    let pool: RunnerPool
    const poolOf = (cluster: string, service: string) =>
      ecsRunners(
        { client, db, clock: handClock() },
        {
          ...{ cluster, service, hardware: `class-${made++}` },
          ...{ markets: { spot: price, on_demand: price }, bounds: BOUNDS },
        },
      )
    const two = { desired: { spot: 1, on_demand: 1 }, drain: [] }
    const count = (action: string) => faulty.asked.filter(each => each.action === action).length
    beforeEach(async () => {
      place = await open()
      faulty = await startFaulty(place.endpoint)
      client = clientOf(faulty.endpoint)
      pool = poolOf(place.cluster, SERVICE)
    })
    afterEach(async () => {
      client.destroy()
      await faulty.close()
      await place.close()
    })

    test('what was throttled or broke off is asked again, and said once', async () => {
      faulty.spoil(first(2, 'DescribeServices', fault('ThrottlingException')))
      await pool.fleet()
      expect(count('DescribeServices')).toBe(3)
      faulty.spoil(first(1, 'UpdateService', 'lose'))
      await pool.apply(two)
      expect(count('UpdateService')).toBe(2)
      expect((await pool.fleet()).runners).toHaveLength(2)
    })

    test('who is throttled for good, or meets a fault of ECS, is told that it may pass', async () => {
      for (const trouble of [fault('ThrottlingException'), fault('ServerException', 500)]) {
        faulty.spoil(first(Number.POSITIVE_INFINITY, 'DescribeServices', trouble))
        await expect(pool.fleet()).rejects.toMatchObject({ code: 'unavailable', retryable: true })
      }
    })

    test('a service that is not there, or is not for us, is named to the operator', async () => {
      const gone = poolOf(place.cluster, 'gone').fleet()
      await expect(gone).rejects.toThrow(`ECS has no service ${place.cluster}/gone (MISSING)`)
      const nowhere = poolOf('nowhere', SERVICE).fleet()
      await expect(nowhere).rejects.toThrow(`ECS has no service nowhere/${SERVICE}`)
      await pool.fleet()
      faulty.spoil(first(1, 'UpdateService', fault('AccessDeniedException')))
      const told = await pool.apply(two).catch(error => error)
      expect(told).toMatchObject({ code: 'internal', retryable: false })
      expect(told.message).toContain(`${place.cluster}/${SERVICE}`)
      expect(told.message).toContain('the role needs ecs:UpdateService on it')
      expect(told.public).not.toContain('ecs')
    })

    test('nothing is said to a service that has as many as are wanted', async () => {
      await pool.fleet()
      await pool.apply({ desired: { spot: 0, on_demand: 0 }, drain: [] })
      expect(count('UpdateService')).toBe(0)
    })
  })
}

/** As ECS says it in its JSON protocol. */
function fault(type: string, status = 400) {
  return {
    status,
    body: JSON.stringify({ __type: type, message: 'told by the test' }),
    headers: { 'content-type': 'application/x-amz-json-1.1' },
  }
}
