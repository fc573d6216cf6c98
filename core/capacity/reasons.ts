/** A decision in words, for who asks why there are so many runners, or so few. */
import type { BulkCall } from './called.ts'
import type { Drain } from './drains.ts'
import type { HoldCost } from './hold.ts'
import { isCalled } from './reading.ts'
import type { ClassNow } from './snapshot.ts'

type Called = {
  present: number
  bulk: BulkCall
  online: number
  needed: number
  kept: number
  total: number
  risky: number
  cost: HoldCost
}

export function reasonsOf(now: ClassNow, called: Called, drain: readonly Drain[]): string[] {
  const { waiting, bounds, leases } = now
  const { present, bulk, online, needed, kept, total, risky, cost } = called
  const { busy, worth, inTime, staffed } = bulk
  const workS = waiting.reduce((sum, run) => sum + run.workS, 0)
  const steps = waiting.reduce((sum, run) => sum + run.steps, 0)
  const lines = [
    `${count(present, 'runner')}, ${busy} busy; ${count(steps, 'step')} of ${count(waiting.length, 'run')} wait with ${seconds(workS)} of work.`,
  ]
  if (present === 0 && needed > 0) lines.push('There is work and no runner.')
  if (worth > 0) {
    lines.push(
      `${count(worth, 'runner')} besides the warm ones: the waiting that each spares at ${bounds.waitUsdPerHour} USD an hour is worth a cold start of ${seconds(cost.coldS)} and its idle end.`,
    )
  }
  if (inTime > worth) {
    lines.push(
      `${count(inTime, 'runner')} besides the warm ones, so that what is due is done in time, with a cold start as long as one in ten.`,
    )
  }
  if (staffed > busy) lines.push(`${count(staffed, 'runner')} for what usually arrives.`)
  if (isCalled(now)) lines.push(`An online request found no runner ${seconds(now.unmetS!)} ago.`)
  if (online > 0) lines.push(`Online requests want ${count(online, 'runner')}.`)
  if (kept > needed) {
    lines.push(
      `${count(kept, 'runner')} kept: needed so lately that to start them again would cost more.`,
    )
  }
  if (bounds.floor > Math.max(needed, kept)) {
    lines.push(`${count(bounds.floor, 'runner')} on on-demand in any case.`)
  }
  if (Math.max(needed, kept) > total) lines.push(`No more than ${bounds.ceiling}, the ceiling.`)
  if (steps + leases.length > bulk.shared) {
    lines.push(
      `Of ${count(steps + leases.length, 'open step')}, ${bulk.shared} at a time: tenants call for no more than they may.`,
    )
  }
  if (risky > 0) {
    lines.push(`${risky} on on-demand: a machine lost would make what is due late.`)
  }
  return [...lines, ...drain.map(({ runner, why }) => `${runner} goes: ${why}.`)]
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`
}

function seconds(value: number): string {
  return `${value >= 10 ? Math.round(value) : Math.round(value * 10) / 10} s`
}
