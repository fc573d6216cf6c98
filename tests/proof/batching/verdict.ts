/**
 * What is right, found without the batcher's code: whose rows ran together, what each caller had to get,
 * why one may be refused, and who pays what of each run.
 */
import { AppError } from '#core/error.ts'
import type { BatchLimits } from '#gpu-runners/batcher/batcher.ts'
import type { Asked, Book, Run } from './play.ts'
import { isSame, type Subject } from './subject.ts'

export type Verdict = { rows: string[]; receipts: string[] }

export function judge(
  subject: Subject,
  book: Book,
  o: { limits: BatchLimits; canBeGone: boolean },
): Verdict {
  const verdict: Verdict = { rows: [], receipts: [] }
  const wrong = (text: string) => verdict.rows.push(text)
  const byId = new Map(book.asked.map(asked => [asked.id, asked]))
  const runs = book.runs.map(run => {
    const shares = groupsOf(run)
    return { ...run, shares, isWhole: shares[0]!.rows === byId.get(shares[0]!.id)?.ask.rows }
  })
  for (const run of runs) judgeRun(subject, run, byId, o.limits, wrong)
  for (const asked of book.asked) {
    const own = runs.filter(run => run.rows.some(({ id }) => id === asked.id))
    if (asked.outcome === null) wrong(`request ${asked.id} was never answered`)
    else if ('answer' in asked.outcome)
      judgeAnswer(subject, asked, asked.outcome.answer, own, wrong)
    else judgeError(asked, asked.outcome, own, o, wrong)
  }
  if (book.queuedRows !== 0) wrong(`${book.queuedRows} rows wait for ever`)
  judgeReceipts(subject, book, runs, byId, text => verdict.receipts.push(text))
  return verdict
}

type Judged = Run & { shares: { id: number; rows: number }[]; isWhole: boolean }

/** Consecutive rows of one request. */
function groupsOf({ rows }: Run): Judged['shares'] {
  const groups: Judged['shares'] = []
  for (const { id, row } of rows) {
    const last = groups.at(-1)
    const count = row < 0 ? 0 : 1
    if (last?.id === id) last.rows += count
    else groups.push({ id, rows: count })
  }
  return groups
}

function judgeRun(
  subject: Subject,
  run: Judged,
  byId: Map<number, Asked>,
  limits: BatchLimits,
  wrong: (text: string) => void,
): void {
  const first = byId.get(run.shares[0]!.id)!
  const says = `run of ${run.shares.map(({ id, rows }) => `${rows} rows of ${id}`)}`
  if (run.dead.length > 0) wrong(`${says}: ${run.dead} had left or were late`)
  if (new Set(run.rows.map(({ id, row }) => `${id} ${row}`)).size < run.rows.length) {
    wrong(`${says}: a row is in it twice`)
  }
  for (const { id } of run.shares) {
    const asked = byId.get(id)
    if (!asked) wrong(`${says}: nobody's rows are in it`)
    else if (asked.ask.width !== first.ask.width) wrong(`${says}: widths differ`)
    else if (asked.ask.k !== first.ask.k) wrong(`${says}: inputs without rows differ`)
    else if (String(asked.names) !== String(run.names))
      wrong(`${says}: other outputs were asked for`)
    const places = run.rows.filter(row => row.id === id).map(({ row }) => row)
    if (places.some((row, i) => i > 0 && row !== places[i - 1]! + 1)) wrong(`${says}: out of order`)
  }
  const isLone = run.shares.length === 1
  if (subject.kind === 'unbatched' && !isLone) wrong(`${says}: its rows influence each other`)
  if (!isLone && run.rows.length > limits.batchRowsMax) wrong(`${says}: past the rows of a batch`)
  if (!isLone && run.bytes > limits.batchBytesMax) wrong(`${says}: past the bytes of a batch`)
}

function judgeAnswer(
  subject: Subject,
  { id, ask, inputs, names }: Asked,
  answer: { outputs: unknown; rows: number; batchRows: number },
  own: Judged[],
  wrong: (text: string) => void,
): void {
  const outputs = answer.outputs as Parameters<typeof isSame>[0]
  if (!isSame(outputs, subject.expected(inputs, names))) wrong(`request ${id} got other rows`)
  if (ask.fault && ask.rows > 0) wrong(`request ${id} got an answer to what fails`)
  if (answer.rows !== ask.rows)
    wrong(`request ${id} of ${ask.rows} rows was told of ${answer.rows}`)
  const largest = Math.max(...own.filter(isCounted(subject)).map(rowCount))
  if (answer.batchRows !== largest) {
    wrong(`request ${id} ran in ${largest} rows and was told of ${answer.batchRows}`)
  }
}

function judgeError(
  asked: Asked,
  { error }: { error: unknown },
  own: Judged[],
  { limits, canBeGone }: { limits: BatchLimits; canBeGone: boolean },
  wrong: (text: string) => void,
): void {
  const { id, ask, signal, deadlineMs, before, bytes } = asked
  const code = error instanceof AppError ? error.code : String(error)
  const loneCrashes = own.filter(run => run.crashed && run.shares.length === 1).length
  const isFull =
    before.count > 0 &&
    (before.ownRows + ask.rows > limits.queueRowsMax - before.rows ||
      before.ownBytes + bytes > limits.queueBytesMax - before.bytes)
  const isHurried = Number.isFinite(deadlineMs)
  const reasons: Record<string, boolean> = {
    inference_failed: (ask.fault > 0 && ask.rows > 0) || loneCrashes >= 2,
    canceled: signal.aborted,
    // Also before it has passed: when a run is foreseen to end too late.
    deadline_exceeded: isHurried,
    overloaded: isFull || (isHurried && before.count > 0),
    unavailable: canBeGone,
  }
  if (!reasons[code]) wrong(`request ${id} was refused without a reason of its own: ${code}`)
}

/** Each run's time is divided by rows; what a caller pays is the sum of its shares, and all of it is paid. */
function judgeReceipts(
  subject: Subject,
  { asked, batches }: Book,
  runs: Judged[],
  byId: Map<number, Asked>,
  wrong: (text: string) => void,
): void {
  const owes = new Map<number, number>()
  const counted = runs.filter(isCounted(subject))
  const measured = counted.reduce((sum, run) => sum + run.computeUs!, 0)
  for (const { computeUs, shares } of counted) {
    const parts = divided(
      computeUs!,
      shares.map(({ rows }) => rows),
    )
    shares.forEach(({ id }, i) => {
      owes.set(id, (owes.get(id) ?? 0) + parts[i]!)
    })
  }
  let paid = 0
  let forgone = 0
  for (const { id, outcome } of asked) {
    const owed = owes.get(id) ?? 0
    if (outcome === null || !('answer' in outcome)) forgone += owed
    else {
      paid += outcome.answer.computeUs
      if (outcome.answer.computeUs !== owed) {
        wrong(`request ${id} pays ${outcome.answer.computeUs} µs and owes ${owed}`)
      }
    }
  }
  if (paid + forgone !== measured) {
    wrong(`${paid} µs were paid and ${forgone} forgone of ${measured} that were measured`)
  }
  const reported = batches.reduce((sum, batch) => sum + batch.computeUs, 0)
  if (reported !== measured) wrong(`${reported} µs were reported of ${measured} that were measured`)
  // Only a part of a larger request may have run for nothing.
  for (const [id, owed] of owes) {
    const one = byId.get(id)!
    const isWhole = counted.some(({ shares }) =>
      shares.some(s => s.id === id && s.rows === one.ask.rows),
    )
    if (isWhole && !(one.outcome && 'answer' in one.outcome)) {
      wrong(`request ${id} was computed whole for ${owed} µs and is not billed`)
    }
  }
}

/** A run whose outputs could not be told apart was for nobody. */
function isCounted({ kind }: Subject) {
  return (run: Judged): boolean => {
    if (run.computeUs === null) return false
    if (kind !== 'undeclared' || !run.names.includes('y')) return true
    return run.shares.length === 1 && run.isWhole
  }
}

function rowCount({ rows }: Judged): number {
  return rows[0]!.row < 0 ? 0 : rows.length
}

/** Largest remainder, the first of equals; in whole numbers of any size. */
function divided(total: number, weights: number[]): number[] {
  const sum = weights.reduce((a, b) => a + b, 0)
  if (sum === 0) return weights.map((_, i) => (i === 0 ? total : 0))
  const exact = weights.map((weight, i) => ({ i, up: BigInt(total) * BigInt(weight) }))
  const parts = exact.map(({ up }) => Number(up / BigInt(sum)))
  const left = total - parts.reduce((a, b) => a + b, 0)
  const order = exact.toSorted(
    (a, b) => Number((b.up % BigInt(sum)) - (a.up % BigInt(sum))) || a.i - b.i,
  )
  for (const { i } of order.slice(0, left)) parts[i]! += 1
  return parts
}
