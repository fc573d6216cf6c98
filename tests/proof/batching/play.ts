/** Plays a case on the real batcher and writes down what happened, for the verdict. */
import type { Tensor } from '#core/inference/tensor.ts'
import type { BatchLimits } from '#gpu-runners/batcher/batcher.ts'
import { type Answer, type BatchMetrics, createBatcher } from '#gpu-runners/batcher/batcher.ts'
import type { LoadedModel } from '#gpu-runners/engines/engine.ts'
import type { Step } from './cases.ts'
import { type Ask, type Loaded, namesOf, type Row } from './subject.ts'

export type Asked = {
  id: number
  ask: Ask
  inputs: Tensor[]
  names: string[]
  bytes: number
  signal: { aborted: boolean }
  deadlineMs: number
  /** The requests without an answer when this one came. */
  before: { count: number; rows: number; bytes: number; ownRows: number; ownBytes: number }
  /** Null: it was never answered. */
  outcome: { answer: Answer } | { error: unknown } | null
}
export type Run = {
  rows: Row[]
  names: readonly string[]
  bytes: number
  /** Ids of those who had left, or were late, when it began. */
  dead: number[]
  /** Null: it failed. */
  computeUs: number | null
  crashed: boolean
}
export type Book = { asked: Asked[]; runs: Run[]; batches: BatchMetrics[]; queuedRows: number }

export type Script = {
  limits: BatchLimits
  steps: Step[]
  /** Called at each moment: something dies, perhaps. */
  onMoment?(moment: number): void
  /** Waits until something may have happened; false: nothing will any more. */
  pause(sinceLastAnswer: number): Promise<boolean>
}

export async function play(subject: Loaded, script: Script): Promise<Book> {
  const clock = { ms: 1_000, now: () => clock.ms }
  const book: Book = { asked: [], runs: [], batches: [], queuedRows: 0 }
  const leaving: { at: number; asked: Asked }[] = []
  let moments = 0

  function moment(): void {
    moments++
    for (const { at, asked } of leaving) if (at <= moments) asked.signal.aborted = true
    script.onMoment?.(moments)
  }

  const batcher = createBatcher({
    model: recorded(subject, book, clock, moment),
    signature: subject.signature,
    clock,
    stopwatch: clock,
    limits: script.limits,
    onBatch: metrics => book.batches.push(metrics),
  })

  function submit(ask: Ask): void {
    const id = book.asked.length + 1
    const inputs = subject.inputsOf(ask, id)
    const asked: Asked = {
      id,
      ask,
      inputs,
      names: namesOf(subject, ask),
      bytes: bytesOf(inputs),
      signal: { aborted: false },
      deadlineMs: ask.deadlineMs === null ? Number.POSITIVE_INFINITY : clock.ms + ask.deadlineMs,
      before: waitingIn(book, ask.tenant),
      outcome: null,
    }
    if (ask.leavesAfter !== null) leaving.push({ at: moments + ask.leavesAfter, asked })
    book.asked.push(asked)
    batcher
      .submit({
        tenant: ask.tenant,
        weight: ask.weight,
        priority: ask.priority,
        inputs,
        outputs: asked.names,
        deadlineMs: asked.deadlineMs,
        signal: asked.signal,
      })
      .then(
        answer => {
          asked.outcome = { answer }
        },
        error => {
          asked.outcome = { error }
        },
      )
  }

  for (const step of script.steps) {
    if (step.do === 'ask') submit(step)
    else {
      clock.ms += step.ms
      for (let i = 0; i < step.turns; i++) {
        moment()
        await turn()
      }
    }
  }
  let left = Number.POSITIVE_INFINITY
  for (let idle = 0; left > 0; idle++) {
    moment()
    const now = book.asked.filter(asked => asked.outcome === null).length
    if (now < left) idle = 0
    left = now
    if (left > 0 && !(await script.pause(idle))) break
  }
  // What was answered before its batch was at its end.
  for (let i = 0; i < 3; i++) await turn()
  book.queuedRows = batcher.queuedRows
  return book
}

export function turn(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}

/** The same model, with each run in the book. */
function recorded(
  subject: Loaded,
  book: Book,
  clock: { ms: number },
  moment: () => void,
): LoadedModel {
  const { model } = subject
  return {
    ...model,
    async run(inputs, names) {
      const rows = subject.whose(inputs)
      // Without rows it says nobody's name, and ran alone: the very tensors are the caller's.
      const owner = book.asked.find(asked => asked.inputs[0] === inputs[0])
      const ids = new Set(rows.length > 0 ? rows.map(({ id }) => id) : [owner!.id])
      const isDead = ({ signal, deadlineMs }: Asked) => signal.aborted || deadlineMs <= clock.ms
      const run: Run = {
        rows: rows.length > 0 ? rows : [{ id: owner!.id, row: -1 }],
        names,
        bytes: bytesOf(inputs),
        dead: book.asked.filter(asked => ids.has(asked.id) && isDead(asked)).map(({ id }) => id),
        computeUs: null,
        crashed: false,
      }
      book.runs.push(run)
      moment()
      try {
        const result = await model.run(inputs, names)
        run.computeUs = result.computeUs
        return result
      } catch (error) {
        run.crashed = (error as Error).name === 'EngineCrash'
        throw error
      } finally {
        moment()
      }
    },
  }
}

function waitingIn({ asked }: Book, tenant: string): Asked['before'] {
  const before = { count: 0, rows: 0, bytes: 0, ownRows: 0, ownBytes: 0 }
  for (const { outcome, ask, bytes } of asked) {
    if (outcome !== null) continue
    before.count++
    before.rows += ask.rows
    before.bytes += bytes
    if (ask.tenant !== tenant) continue
    before.ownRows += ask.rows
    before.ownBytes += bytes
  }
  return before
}

function bytesOf(inputs: readonly Tensor[]): number {
  let bytes = 0
  for (const { data } of inputs) {
    if (!Array.isArray(data)) bytes += data.byteLength
    else for (const element of data) bytes += 4 + element.length
  }
  return bytes
}
