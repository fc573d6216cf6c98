/**
 * The pool that all policies drive, simulated: a queue of steps, runners that start cold, cost by the second
 * from when they are asked for, and are lost on spot, with a notice of two minutes or without one. What a
 * runner does is the same under every policy: it takes the step that waits longest, is protected while it works,
 * hands back at a notice what it could not finish in time, and leaves its lease to lapse when it is killed.
 */
import { Events } from './events.ts'
import type { Random } from './random.ts'
import type { Job, Trace } from './traces.ts'
import { WORLD } from './world.ts'

export type Market = 'spot' | 'on_demand'
/** Length of a bucket of arrivals. */
export const ARRIVED_S = 10

export type Step = { job: JobState; trueS: number; predictedS: number }
export type JobState = { job: Job; left: number; queued: number; doneS: number | null }
export type Machine = {
  name: string
  market: Market
  askedS: number
  readyS: number | null
  step: Step | null
  stepBeganS: number
  idleSinceS: number
  endedS: number | null
  draining: boolean
}

export class Pool {
  readonly events = new Events()
  readonly machines = new Set<Machine>()
  readonly jobs: JobState[] = []
  readonly queue: Step[] = []
  readonly coldStartsS: number[] = []
  readonly arrived: { runs: number[]; workS: number[] } = { runs: [], workS: [] }
  interruptions = 0
  /** Those of them without a notice. */
  kills = 0
  reworkS = 0
  usd = 0
  machineS = 0
  doneJobs = 0
  /** Steps done: their number, and the sums of their seconds and of the squares. */
  done = { steps: 0, s: 0, squares: 0 }
  /** ∫ steps that are open, over time. */
  openS = 0
  #open = 0
  #openSince = 0
  #names = 0
  #desired = 0
  #endsOver = true
  readonly trace: Trace
  readonly #random: Random

  constructor(trace: Trace, random: Random) {
    this.trace = trace
    this.#random = random
    for (const job of trace.jobs) this.events.at(job.atS, () => this.#arrive(job))
  }

  /** Steps that wait or are under way. */
  get open(): number {
    return this.#open
  }

  get present(): number {
    let count = 0
    for (const { draining } of this.machines) if (!draining) count++
    return count
  }

  /** ∫ open steps up to now. */
  openIntegral(): number {
    return this.openS + this.#open * (this.events.nowS - this.#openSince)
  }

  /**
   * Wants so many. More are asked for at once. Of too many go those in `drain`, or, where it says none, those
   * that start or have nothing to do, and the busy ones when they are done.
   */
  want(desired: Record<Market, number>, drain?: readonly string[]): void {
    const total = desired.spot + desired.on_demand
    this.#desired = total
    this.#endsOver = drain === undefined
    if (drain) {
      for (const machine of this.machines) if (drain.includes(machine.name)) this.#end(machine)
      for (const market of ['spot', 'on_demand'] as const) {
        const there = [...this.machines].filter(m => m.market === market && !m.draining).length
        for (let i = there; i < desired[market]; i++) this.#start(market)
      }
      return
    }
    const there = [...this.machines].filter(machine => !machine.draining)
    for (let i = there.length; i < total; i++) this.#start('spot')
    const free = there.filter(machine => machine.step === null)
    const starting = free.filter(m => m.readyS === null).toSorted((a, b) => b.askedS - a.askedS)
    const idle = free.filter(m => m.readyS !== null).toSorted((a, b) => a.idleSinceS - b.idleSinceS)
    const over = Math.max(0, there.length - total)
    for (const machine of [...starting, ...idle].slice(0, over)) this.#end(machine)
  }

  #count(change: number): void {
    this.openS = this.openIntegral()
    this.#openSince = this.events.nowS
    this.#open += change
  }

  #arrive(job: Job): void {
    const state: JobState = { job, left: job.steps.length, queued: job.steps.length, doneS: null }
    this.jobs.push(state)
    this.#count(job.steps.length)
    const bucket = Math.floor(this.events.nowS / ARRIVED_S)
    this.arrived.runs[bucket] = (this.arrived.runs[bucket] ?? 0) + 1
    let workS = 0
    for (const trueS of job.steps) {
      const predictedS = trueS * this.#random.logNormal(1, WORLD.predictionSigma)
      this.queue.push({ job: state, trueS, predictedS })
      workS += predictedS
    }
    this.arrived.workS[bucket] = (this.arrived.workS[bucket] ?? 0) + workS
    for (const machine of this.machines) this.#take(machine)
  }

  #start(market: Market): void {
    const { nowS } = this.events
    const name = `runner-${this.#names++}`
    const coldS = this.#random.logNormal(WORLD.cold.medianS, WORLD.cold.sigma)
    const machine: Machine = {
      name,
      market,
      askedS: nowS,
      readyS: null,
      step: null,
      stepBeganS: 0,
      idleSinceS: nowS,
      endedS: null,
      draining: false,
    }
    this.machines.add(machine)
    this.events.in(coldS, () => {
      if (machine.endedS !== null) return
      machine.readyS = this.events.nowS
      machine.idleSinceS = this.events.nowS
      this.coldStartsS.push(coldS)
      this.#take(machine)
    })
    if (market === 'on_demand') return
    const lifeS = this.#random.exponential(3600 / WORLD.interruptionsPerHour)
    const isNoticed = this.#random.next() < WORLD.noticedPart
    const killS = Math.max(lifeS, WORLD.noticeS)
    if (isNoticed) this.events.in(killS - WORLD.noticeS, () => this.#notice(machine))
    this.events.in(killS, () => this.#kill(machine))
  }

  #take(machine: Machine): void {
    if (machine.endedS !== null || machine.readyS === null || machine.step) return
    if (machine.draining || (this.#endsOver && this.present > this.#desired)) {
      this.#end(machine)
      return
    }
    const step = this.queue.shift()
    if (!step) return
    step.job.queued--
    machine.step = step
    machine.stepBeganS = this.events.nowS
    this.events.in(step.trueS, () => {
      if (machine.step === step && machine.endedS === null) this.#finish(machine, step)
    })
  }

  #finish(machine: Machine, step: Step): void {
    machine.step = null
    machine.idleSinceS = this.events.nowS
    this.done.steps++
    this.done.s += step.trueS
    this.done.squares += step.trueS ** 2
    this.#count(-1)
    if (--step.job.left === 0) {
      step.job.doneS = this.events.nowS
      this.doneJobs++
    }
    this.#take(machine)
  }

  #notice(machine: Machine): void {
    if (machine.endedS !== null) return
    this.interruptions++
    machine.draining = true
    const { step } = machine
    const leftS = step ? machine.stepBeganS + step.trueS - this.events.nowS : 0
    if (!step) this.#end(machine)
    else if (leftS >= WORLD.noticeS) {
      this.#lose(machine, step)
      this.#end(machine)
      this.#requeue(step)
    }
  }

  #kill(machine: Machine): void {
    if (machine.endedS !== null) return
    if (!machine.draining) {
      this.interruptions++
      this.kills++
    }
    const { step } = machine
    if (step) {
      this.#lose(machine, step)
      this.events.in(WORLD.leaseS, () => this.#requeue(step))
    }
    this.#end(machine)
  }

  #lose(machine: Machine, step: Step): void {
    this.reworkS += this.events.nowS - machine.stepBeganS
    machine.step = null
    step.job.queued++
  }

  #requeue(step: Step): void {
    this.queue.unshift(step)
    for (const machine of this.machines) this.#take(machine)
  }

  #end(machine: Machine): void {
    if (machine.endedS !== null) return
    machine.endedS = this.events.nowS
    this.machines.delete(machine)
    this.#bill(machine, machine.endedS)
  }

  /** Bills what still runs; after it the pool is at its end. */
  settle(): void {
    for (const machine of this.machines) this.#bill(machine, this.events.nowS)
  }

  #bill(machine: Machine, untilS: number): void {
    const s = Math.max(WORLD.billedLeastS, untilS - machine.askedS)
    this.machineS += s
    this.usd += (s / 3600) * WORLD.usdPerHour[machine.market]
  }
}
