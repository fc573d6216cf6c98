/** Interleavings by the thousand on the model in memory, and some on a real engine that is killed meanwhile. */
import { AppError } from '#core/error.ts'
import { EngineCrash, type LoadedModel } from '#gpu-runners/engines/engine.ts'
import { randomOf } from '../../chaos/random.ts'
import { type Case, caseOf } from './cases.ts'
import { compute, makeSubject } from './made.ts'
import { type Book, play, turn } from './play.ts'
import { CRASH, POISON } from './subject.ts'
import { judge } from './verdict.ts'

/** What the cases met: a proof that met nothing proves nothing. */
export type Met = {
  requests: number
  runs: number
  shared_runs: number
  split: number
  failed: number
  crashes: number
  left: number
  late: number
  refused: number
}
export type Proof = {
  interleavings: number
  rowErrors: string[]
  receiptErrors: string[]
  met: Met
}

/** Turns without any answer after which none will come; a run takes four at most. */
const IDLE_TURNS_MAX = 300

export function newProof(): Proof {
  const met = {
    requests: 0,
    runs: 0,
    shared_runs: 0,
    split: 0,
    failed: 0,
    crashes: 0,
    left: 0,
    late: 0,
    refused: 0,
  }
  return { interleavings: 0, rowErrors: [], receiptErrors: [], met }
}

/** `errorsMax`: so many are enough to know that something is wrong. */
export async function prove(o: {
  seed: number
  cases: number
  errorsMax?: number
  onCase?: (done: number) => void
}): Promise<Proof> {
  const proof = newProof()
  const { errorsMax = 5 } = o
  while (proof.interleavings < o.cases && faults(proof) < errorsMax) {
    await playOne(caseOf(o.seed + proof.interleavings), proof)
    o.onCase?.(proof.interleavings)
  }
  return proof
}

export function faults({ rowErrors, receiptErrors }: Proof): number {
  return rowErrors.length + receiptErrors.length
}

async function playOne(one: Case, proof: Proof): Promise<void> {
  const random = randomOf(one.seed)
  const subject = makeSubject(random, one.kind)
  let started = 0
  const model: LoadedModel = {
    digest: 'made',
    signature: subject.signature,
    async run(inputs, names) {
      const number = ++started
      for (let i = one.runTurns[number % one.runTurns.length]!; i > 0; i--) await turn()
      if (number >= one.goneFrom) throw new AppError('unavailable', { retryable: true })
      const fault = subject.faultOf(inputs)
      if (fault === CRASH || one.crashes.has(number)) throw new EngineCrash('the process ended')
      if (fault === POISON) throw new AppError('inference_failed', { public: 'a bad row' })
      return { outputs: compute(one.kind, inputs, names), computeUs: random.int(1, 1_000) }
    },
    async close() {},
  }
  const book = await play(
    { ...subject, model },
    {
      limits: one.limits,
      steps: one.steps,
      async pause(idle) {
        await turn()
        return idle < IDLE_TURNS_MAX
      },
    },
  )
  const canBeGone = Number.isFinite(one.goneFrom)
  const verdict = judge(subject, book, { limits: one.limits, canBeGone })
  enter(proof, book, `case ${one.seed}`, verdict)
}

/** Adds what a case met, and what was wrong in it. */
export function enter(
  proof: Proof,
  book: Book,
  name: string,
  wrong: { rows: string[]; receipts: string[] },
): void {
  const { met } = proof
  proof.interleavings++
  proof.rowErrors.push(...wrong.rows.map(text => `${name}: ${text}`))
  proof.receiptErrors.push(...wrong.receipts.map(text => `${name}: ${text}`))
  met.requests += book.asked.length
  met.runs += book.runs.length
  for (const { rows, crashed } of book.runs) {
    if (rows.some(({ id }) => id !== rows[0]!.id)) met.shared_runs++
    if (crashed) met.crashes++
  }
  for (const { id, ask, outcome } of book.asked) {
    const own = book.runs.filter(({ rows }) => rows.some(row => row.id === id))
    if (own.some(run => run.rows.filter(row => row.id === id).length < ask.rows)) met.split++
    const error = outcome && 'error' in outcome ? (outcome.error as AppError) : null
    if (error?.code === 'inference_failed') met.failed++
    if (error?.code === 'canceled') met.left++
    if (error?.code === 'deadline_exceeded') met.late++
    if (error?.code === 'overloaded') met.refused++
  }
}
