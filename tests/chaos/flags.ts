/** `npm run chaos -- --rounds 20 --seed 7 --planted all|none|dedupe,epoch,sync --edge node|workerd`. */
import { parseArgs } from 'node:util'
import { type Fault, PLANTED } from './planted.ts'
import type { Round } from './rounds.ts'
import { SPOT_PLANTED, type SpotFault } from './spot/planted.ts'
import { SWITCH_PLANTED, type SwitchFault } from './switch/planted.ts'

export type Flags = {
  rounds: number
  seed: number
  planted: Fault[]
  /** The same of the scenario `switch`. */
  switchPlanted: SwitchFault[]
  spotPlanted: SpotFault[]
  edge: 'node' | 'workerd'
  /** Instead of the plan: these deaths in every round. */
  only: Round | null
  /**
   * `kill`: everything the product does; `ingest`: events and what follows from them; `switch`: versions
   * of a model under load; `spot`: runners whose machines are taken back.
   */
  scenario: 'kill' | 'ingest' | 'switch' | 'spot'
  /** Of the scenario `switch`. */
  switches: number
  /** Of the scenario `spot`. */
  notices: number
  kills: number
  /** Leaves data folders, with their logs, behind. */
  keep: boolean
}

export function readFlags(args: string[]): Flags {
  const { values } = parseArgs({
    args,
    options: {
      scenario: { type: 'string', default: 'kill' },
      rounds: { type: 'string' },
      switches: { type: 'string', default: '100' },
      notices: { type: 'string', default: '20' },
      kills: { type: 'string', default: '10' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      planted: { type: 'string', default: 'all' },
      edge: { type: 'string', default: 'node' },
      only: { type: 'string' },
      keep: { type: 'boolean', default: false },
    },
  })
  const planted = <F extends string>(scenario: Flags['scenario'], table: Record<F, unknown>) =>
    values.scenario === scenario ? faultsOf(table, values.planted) : []
  return {
    scenario: values.scenario as Flags['scenario'],
    rounds: Number(values.rounds ?? (values.scenario === 'ingest' ? 10 : 20)),
    switches: Number(values.switches),
    notices: Number(values.notices),
    kills: Number(values.kills),
    seed: Number(values.seed),
    planted: planted('kill', PLANTED),
    switchPlanted: planted('switch', SWITCH_PLANTED),
    spotPlanted: planted('spot', SPOT_PLANTED),
    edge: values.edge as Flags['edge'],
    keep: values.keep,
    only: values.only ? (values.only.split(',') as Round) : null,
  }
}

function faultsOf<F extends string>(table: Record<F, unknown>, text: string): F[] {
  const all = Object.keys(table) as F[]
  if (text === 'all') return all
  if (text === 'none') return []
  const named = text.split(',') as F[]
  const unknown = named.find(name => !all.includes(name))
  if (unknown) throw new Error(`--planted knows ${all.join(', ')}, all and none, not "${unknown}".`)
  return named
}
