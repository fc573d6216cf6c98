/**
 * `npm run chaos -- --scenario switch`: a model's alias is switched under load while its runners are
 * killed. No request is lost, and every answer is what the version that it names says. Then the same with
 * a safeguard removed, which must be seen.
 */
import { copyWith } from '../planted.ts'
import { type Attack, attack, type Found, isClean, RUNNERS } from './attack.ts'
import { SWITCH_PLANTED, type SwitchFault } from './planted.ts'

/** Switches that a planted fault goes through, and how long its switcher waits for an answer. */
const PLANTED_SWITCHES = 30
const PLANTED_PATIENCE_MS = 20_000
/** A few kills may all come while nothing is under way. */
const PLANTED_TURNS_MAX = 3

type Flags = Attack & { planted: SwitchFault[]; print(line: string): void }

/** Whether nothing was dropped and nothing mixed, and every planted fault was seen. Prints one line of JSON. */
export async function switchScenario(o: Flags): Promise<boolean> {
  o.print(`chaos: ${o.switches} switches on the ${o.edge} edge, seed ${o.seed}`)
  const found = await attack(o)
  tell(found, o)
  const caught: SwitchFault[] = []
  for (const fault of o.planted) if (await sees(fault, o)) caught.push(fault)
  const { book } = found
  o.print(
    JSON.stringify({
      chaos: 'switch',
      runners: RUNNERS,
      switches: found.switches,
      requests: book.requests,
      dropped: book.dropped,
      mixed: book.mixed,
      refused: found.refused,
      rollbacks: found.rollbacks,
      canaries: found.canaries,
      kills: found.kills,
      faults: found.faults.length,
      planted: o.planted.length,
      caught: caught.length,
      seed: o.seed,
      edge: o.edge,
    }),
  )
  const isWhole = found.switches === o.switches && found.kills > 0
  return isWhole && isClean(found) && caught.length === o.planted.length
}

/** Whether the same checks see a product with this fault. */
async function sees(fault: SwitchFault, o: Flags): Promise<boolean> {
  const { patches, isSeen } = SWITCH_PLANTED[fault]
  const copy = copyWith(fault, patches)
  try {
    o.print(`planted: ${fault}`)
    const { root } = copy
    const patienceMs = PLANTED_PATIENCE_MS
    for (let turn = 0; turn < PLANTED_TURNS_MAX; turn++) {
      const few = { switches: PLANTED_SWITCHES, patienceMs, seed: o.seed + turn }
      const found = await attack({ ...o, root, ...few })
      const { dropped, mixed } = found.book
      o.print(`          ${dropped} dropped, ${mixed} mixed, ${found.faults.length} faults`)
      if (!isSeen(found)) continue
      o.print(`${fault} was seen`)
      return true
    }
    o.print(`${fault} was NOT seen`)
    return false
  } finally {
    copy.remove()
  }
}

function tell({ book, faults }: Found, { print }: Flags): void {
  for (const [why, n] of book.why) print(`          ${n} × ${why}`)
  for (const fault of faults) print(`          ${fault}`)
}
