/**
 * `npm run chaos -- --scenario spot`: runners under bulk load and some callers lose their machines, most with a
 * notice, some without. Nothing is lost or billed twice, a notice costs no work, a kill at most a shard. Then
 * the same with a safeguard removed, which must be seen.
 */
import { copyWith } from '../planted.ts'
import { type Attack, attack, type Found, RUNNERS } from './attack.ts'
import { SPOT_PLANTED, type SpotFault } from './planted.ts'

/** What a planted fault goes through. */
const PLANTED_NOTICES = 4
const PLANTED_KILLS = 3
const PLANTED_PATIENCE_MS = 40_000

type Flags = Attack & { planted: SpotFault[] }

/** Whether every promise held and every planted fault was seen. Prints one line of JSON. */
export async function spotScenario(o: Flags): Promise<boolean> {
  o.print(`chaos: ${o.notices} notices and ${o.kills} kills on the ${o.edge} edge, seed ${o.seed}`)
  const found = o.notices + o.kills > 0 ? await attack(o) : null
  if (found) tell(found, o)
  const caught: SpotFault[] = []
  for (const fault of o.planted) if (await sees(fault, o)) caught.push(fault)
  o.print(JSON.stringify({ chaos: 'spot', ...(found && summary(found)), ...counts(o, caught) }))
  const isWhole = !found || (found.notices === o.notices && found.kills === o.kills)
  return isWhole && (!found || isClean(found)) && caught.length === o.planted.length
}

function isClean({ verdict, faults, reworkAfterNotice, ...found }: Found): boolean {
  const { lost, unbilled, billedTwice } = verdict
  const isKept = [lost, unbilled, billedTwice, reworkAfterNotice, faults.length].every(n => n === 0)
  return isKept && found.reworkMost <= 1 && found.repeated > 0
}

function summary(found: Found) {
  const { verdict, book } = found
  return {
    runners: RUNNERS,
    notices: found.notices,
    notices_at_work: found.noticesAtWork,
    kills: found.kills,
    kills_at_work: found.killsAtWork,
    lost: verdict.lost,
    unbilled: verdict.unbilled,
    billed_twice: verdict.billedTwice,
    rework_shards_per_kill: found.kills === 0 ? 0 : round(found.reworkAfterKill / found.kills),
    rework_shards_most: found.reworkMost,
    rework_shards_after_notice: found.reworkAfterNotice,
    shards: found.shards,
    jobs: book.jobs.length,
    repeated: found.repeated,
    predictions: Object.fromEntries(book.statuses),
    faults: found.faults.length,
  }
}

const counts = ({ planted, seed, edge }: Flags, caught: SpotFault[]) => ({
  planted: planted.length,
  caught: caught.length,
  seed,
  edge,
})

const round = (value: number) => Math.round(value * 100) / 100

/** Whether the same checks see a product with this fault. */
async function sees(fault: SpotFault, o: Flags): Promise<boolean> {
  const { patches, isSeen } = SPOT_PLANTED[fault]
  const copy = copyWith(fault, patches)
  try {
    o.print(`planted: ${fault}`)
    const { root } = copy
    const few = { notices: PLANTED_NOTICES, kills: PLANTED_KILLS, patienceMs: PLANTED_PATIENCE_MS }
    const found = await attack({ ...o, ...few, root })
    tell(found, o)
    o.print(isSeen(found) ? `${fault} was seen` : `${fault} was NOT seen`)
    return isSeen(found)
  } finally {
    copy.remove()
  }
}

function tell({ verdict, faults }: Found, { print }: Flags): void {
  for (const line of [...verdict.why, ...faults]) print(`          ${line}`)
}
