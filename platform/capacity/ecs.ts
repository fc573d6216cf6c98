/**
 * Runners as a service of ECS: it is told a number and keeps to it, on spot capacity but for its floor. It ends
 * whichever tasks it likes, and those that hold a lease are protected from that by themselves
 * (`gpu-runners/leaving/protection.ts`): a lower number ends idle ones, which drain on SIGTERM.
 */
import { DescribeServicesCommand, type ECSClient, UpdateServiceCommand } from '@aws-sdk/client-ecs'
import * as capacity from '#core/capacity/capacity.ts'
import type { Clock, Database } from '#core/deps.ts'
import { ecsFault, noService } from './ecs-client.ts'

export type RunnerService = Pick<capacity.Fleet, 'hardware' | 'markets' | 'bounds'> & {
  cluster: string
  service: string
}
type Deps = { client: ECSClient; db: Database; clock: Clock }

/** Throws `internal`, with words for the operator, where there is no such service or it may not be used. */
export function ecsRunners(
  { client, db, clock }: Deps,
  { cluster, service, hardware, markets, bounds }: RunnerService,
): capacity.RunnerPool {
  const place = `${cluster}/${service}`
  /** As the fleet was told last: a decision is about that one. */
  let wanted: number | null = null

  /** The number that the service was told last, whoever told it. */
  async function wantedNow(): Promise<number> {
    const command = new DescribeServicesCommand({ cluster, services: [service] })
    const { services = [], failures = [] } = await client.send(command).catch(error => {
      throw ecsFault(error, 'DescribeServices', place)
    })
    const [found] = services
    if (!found) throw noService(place, failures[0]?.reason ?? 'MISSING')
    if (found.status !== 'ACTIVE') throw noService(place, `it is ${found.status}`)
    return found.desiredCount ?? 0
  }

  return {
    async fleet() {
      wanted = await wantedNow()
      const now = clock.now()
      const told = await db.system(tx => capacity.announced.read(tx, { hardware, now }))
      const { floor } = bounds
      const runners = capacity.announced.runnersOf(told, { wanted, floor, now })
      const coldStartsS = capacity.announced.coldStartsOf(told)
      return { hardware, markets, bounds, runners, coldStartsS }
    },
    async apply({ desired, drain }) {
      wanted ??= await wantedNow()
      const total = desired.spot + desired.on_demand
      // One that may not go yet keeps its place: with a lower number it would be ended as soon as it rests.
      const desiredCount = Math.max(total, wanted - drain.length)
      if (desiredCount === wanted) return
      const command = new UpdateServiceCommand({ cluster, service, desiredCount })
      await client.send(command).catch(error => {
        throw ecsFault(error, 'UpdateService', place)
      })
    },
  }
}
