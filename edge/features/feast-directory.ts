/** What clients of Feast read: a service or a list of features. */
import type { Caller } from '#core/caller.ts'
import { hash128 } from '#core/events/sha256.ts'
import type { ServicePlan } from '#schemas/feature.ts'
import type { EdgeDeps } from '../deps.ts'
import { TenantDirectory } from '../fresh-cache.ts'
import type { Limiter } from '../middleware/limits.ts'
import { writeAs } from './feast-columns.ts'
import { compileReader, type Reader } from './reader.ts'

const READERS_MAX = 5_000

export type Asked = { service: string } | { features: string[] }
type Answer = {
  plan: ServicePlan
  joinKeys: Record<string, string[][]>
  pinned: Record<string, number>
}
/** One value that is given: where the reader has it, and how it is named and written. */
type Output = {
  at: number
  /** The view, or the service for a transform. */
  owner: string
  name: string
  fullName: string
  isTransform: boolean
  write: ReturnType<typeof writeAs>
}
export type FeastReader = {
  reader: Reader
  /** Feature by feature in the order of the request, those of a view together. */
  outputs: Output[]
  /** Names that only their views tell apart. */
  twice: string[]
  /** Names that not even those do: of `a__b:c` and `a:b__c`. */
  fullTwice: string[]
  joinKeys: Record<string, string[][]>
  views: { name: string; version: number }[]
}

export class FeastDirectory extends TenantDirectory<Answer, FeastReader> {
  constructor(deps: EdgeDeps, limits: Limiter) {
    const path = '/internal/features/join-plan'
    super(deps, limits, { path, made: feastReader, entriesMax: READERS_MAX })
  }

  /** Throws `not_found`, `invalid_definition`. */
  async resolve(caller: Caller, asked: Asked): Promise<FeastReader> {
    // Lists may be long, and there may be many of them: a hash is as good a name.
    const name = 'service' in asked ? `service ${asked.service}` : hash128(...asked.features)
    return (await this.find({ caller, name, input: { asked } }))!
  }
}

function feastReader({ plan, joinKeys, pinned }: Answer): FeastReader {
  const reader = compileReader(plan)
  const outputs = reader.outputs.map(({ name, type }, at): Output => {
    const [view, feature] = name.split(':') as [string, string | undefined]
    const isTransform = feature === undefined
    const version = Object.hasOwn(pinned, view) ? `@v${pinned[view]}` : ''
    const owner = isTransform ? plan.service : `${view}${version}`
    const bare = feature ?? name
    const fullName = `${owner}__${bare}`
    return { at, owner, name: bare, fullName, isTransform, write: writeAs(type) }
  })
  const byOwner = Map.groupBy(outputs, ({ owner }) => owner)
  return {
    reader,
    outputs: [...byOwner.values()].flat(),
    twice: twiceIn(outputs.map(({ name }) => name)),
    fullTwice: twiceIn(outputs.map(({ fullName }) => fullName)),
    joinKeys,
    views: plan.views.map(({ view, version }) => ({ name: view, version })),
  }
}

function twiceIn(names: string[]): string[] {
  return [...new Set(names.filter((name, i) => names.indexOf(name) !== i))]
}
