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
import { isOutOfMemory, sentenceFor } from './runtime-error.ts'
import { tryTexts } from './texts.ts'
import { runTrial } from './trial.ts'
import type { InspectionSummary, Report, Task, Verdict } from './verdict.ts'

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

async function judge(task: Task): Promise<Verdict> {
  report({ stage: 'inspect' })
  const inspection = inspectFile(task)
  const derived = derive(inspection, task.batchAxes)
  report({ stage: 'load' })
  const session = await load(task)
  mustAgree(inspection, session)
  const { signature, trial } = await runTrial({
    session,
    inspection,
    signature: derived,
    batchAxes: task.batchAxes,
    trialDims: task.trialDims,
    budgetMs: task.limits.wallMs / 2,
    memoryBytes: task.limits.memoryBytes,
    onShapes: shapes => report({ stage: 'trial', shapes }),
  })
  if (task.embedding) {
    report({ stage: 'texts' })
    const { opsets } = inspection
    const embedding = await tryTexts({ session, signature, opsets, manifest: task.embedding })
    return {
      ok: true,
      signature: { ...signature, embedding },
      inspection: summary(inspection),
      trial,
    }
  }
  return { ok: true, signature, inspection: summary(inspection), trial }
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

async function load(task: Task): Promise<InferenceSession> {
  try {
    return await InferenceSession.create(task.graph, {
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
      enableCpuMemArena: false,
      enableMemPattern: false,
      logSeverityLevel: 4,
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
  report({ verdict: await judge(task) })
} catch (error) {
  if (!isInvalidModel(error)) throw error
  report({ verdict: { ok: false, code: 'invalid_model', detail: error.public } })
}
process.exit(0)
