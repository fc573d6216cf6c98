/**
 * The child that opens strangers' models. It holds no secret, gives up root once its code is loaded,
 * reads one folder, and reports on file descriptor 3. Whatever the model does to it, the parent judges
 * by what it reported last.
 */
import { closeSync, fstatSync, openSync, readFileSync, readSync, writeSync } from 'node:fs'
import './float16.ts'
import { InferenceSession } from 'onnxruntime-node'
import { type Inspection, inspect, isInvalidModel } from '#core/models/onnx/inspect.ts'
import { derive } from '#core/models/onnx/signature.ts'
import { invalid, type Source } from '#core/models/onnx/wire.ts'
import type { Signature } from '#schemas/signature.ts'
import { join, type Row, repeat } from './feed.ts'
import { isOutOfMemory, sentenceFor } from './runtime-error.ts'
import { tryTexts } from './texts.ts'
import { runTrial } from './trial.ts'
import { sizesFor, type TuneTask, tune } from './tune.ts'
import type { InspectionSummary, Report, Task } from './verdict.ts'

const REPORT_FD = 3
const NOBODY = 65534
const STRINGS_MAX = 20

function report(line: Report): void {
  writeSync(REPORT_FD, `${JSON.stringify(line)}\n`)
}

function giveUpRoot(): void {
  if (process.getuid?.() !== 0) return
  try {
    process.setgroups!([])
    process.setgid!(NOBODY)
    process.setuid!(NOBODY)
  } catch {
    // A container without the right to change its user has little to give up.
  }
}

async function judge(task: Task): Promise<void> {
  report({ stage: 'inspect' })
  const inspection = inspectFile(task)
  const derived = derive(inspection, task.batchAxes)
  report({ stage: 'load' })
  const began = performance.now()
  const session = await load(task, 1)
  const loadMs = performance.now() - began
  mustAgree(inspection, session)
  const { signature, trial, rows } = await runTrial({
    session,
    inspection,
    signature: derived,
    batchAxes: task.batchAxes,
    trialDims: task.trialDims,
    budgetMs: task.limits.wallMs / 2,
    memoryBytes: task.limits.memoryBytes,
    onShapes: shapes => report({ stage: 'trial', shapes }),
  })
  const settled = task.embedding ? await withTexts(task, session, inspection, signature) : signature
  const verdict = { ok: true, signature: settled, inspection: summary(inspection), trial } as const
  report({ verdict })
  await measure(task, session, { signature, rows, loadMs }, tuning =>
    report({ verdict: { ...verdict, tuning } }),
  )
}

async function withTexts(
  { embedding: manifest }: Task,
  session: InferenceSession,
  { opsets }: Inspection,
  signature: Signature,
): Promise<Signature> {
  report({ stage: 'texts' })
  const embedding = await tryTexts({ session, signature, opsets, manifest: manifest! })
  return { ...signature, embedding }
}

/** The model is judged already: whatever it does now is no fault of it. */
async function measure(
  { limits, ...task }: Task,
  first: InferenceSession,
  { signature, rows, loadMs }: { signature: Signature; rows: Row[]; loadMs: number },
  onMeasured: TuneTask['onMeasured'],
): Promise<void> {
  let session = first
  const open = async (threads: number) => {
    if (threads > 1) {
      await session.release()
      session = await load({ limits, ...task }, threads)
    }
    return (count: number) => {
      const feeds = join(signature, repeat(rows, count))
      return () => session.run(feeds)
    }
  }
  const elements = rows[0]!.reduce((sum, { values }) => sum + values.length, 0)
  const sizes = sizesFor(signature, elements)
  const { threadsMax, tuneMs: budgetMs } = limits
  try {
    await tune({ sizes, loadMs, threadsMax, budgetMs, open, onMeasured })
  } catch {
    // A size that it does not take ends the curve.
  }
}

function inspectFile(task: Task): Inspection {
  const fd = openSync(task.graph, 'r')
  try {
    const source: Source = {
      size: fstatSync(fd).size,
      read(offset, length) {
        const buffer = new Uint8Array(length)
        return buffer.subarray(0, readSync(fd, buffer, 0, length, offset))
      },
    }
    return inspect(source, task.limits, task.bundledFiles)
  } finally {
    closeSync(fd)
  }
}

async function load(task: Task, threads: number): Promise<InferenceSession> {
  try {
    return await InferenceSession.create(task.graph, {
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      enableCpuMemArena: false,
      enableMemPattern: false,
      logSeverityLevel: 4,
      // As the engine has it: what is measured here is what a runner will take.
      extra: { session: { intra_op: { allow_spinning: '0' } } },
    })
  } catch (error) {
    if (!isOutOfMemory(error)) throw invalid(sentenceFor(error))
    const mebibytes = Math.floor(task.limits.memoryBytes / 2 ** 20)
    throw invalid(
      `Loading the model needed more than the ${mebibytes} MiB of memory that it may use.`,
    )
  }
}

/** What was checked and what the runtime read must be the same graph. */
function mustAgree(inspection: Inspection, session: InferenceSession): void {
  const names = (values: { name: string }[]) =>
    values
      .map(value => value.name)
      .sort()
      .join('\n')
  const isSame =
    names(inspection.inputs) === [...session.inputNames].sort().join('\n') &&
    names(inspection.outputs) === [...session.outputNames].sort().join('\n')
  if (!isSame) {
    throw invalid(
      'The runtime reads other inputs or outputs from this file than it declares. Save the model anew.',
    )
  }
}

function summary(inspection: Inspection): InspectionSummary {
  const { opsets, irVersion, producer, nodes, parameters, parameterBytes } = inspection
  const externalFiles = inspection.externalFiles.slice(0, STRINGS_MAX)
  return { opsets, irVersion, producer, nodes, parameters, parameterBytes, externalFiles }
}

const task: Task = JSON.parse(readFileSync('task.json', 'utf8'))
giveUpRoot()
try {
  await judge(task)
} catch (error) {
  if (!isInvalidModel(error)) throw error
  report({ verdict: { ok: false, code: 'invalid_model', detail: error.public } })
}
process.exit(0)
