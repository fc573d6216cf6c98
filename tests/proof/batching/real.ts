/**
 * The same on the real engine: graphs whose answers are known by arithmetic on whole numbers, run in its
 * processes, which are killed at any moment.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openOnnxRuntime } from '#gpu-runners/engines/onnxruntime.ts'
import { randomOf } from '../../chaos/random.ts'
import { stepsOf } from './cases.ts'
import { CAN_FAIL, GRAPHS, WIDTH } from './graphs.ts'
import { play } from './play.ts'
import { enter, faults, type Proof } from './prove.ts'
import { type Ask, type Loaded, POISON, type Subject } from './subject.ts'
import { judge } from './verdict.ts'

/** A process starts in a fraction of it. */
const ANSWER_MS_MAX = 30_000
const KILLED_CASES = 0.15
const LIMITS = { batchBytesMax: 2 ** 30, queueRowsMax: 1_000, queueBytesMax: 2 ** 30 }
/** Of one request; a power of two, by which the mean of whole numbers is exact. */
const ROWS = [1, 1, 2, 4, 8]

export async function proveReal(
  o: { seed: number; cases: number; onCase?: (done: number) => void },
  proof: Proof,
): Promise<{ kills: number }> {
  const folder = await mkdtemp(join(tmpdir(), 'galley-proof-'))
  const engine = openOnnxRuntime({ log: { info() {}, error() {} } })
  let kills = 0
  try {
    const loaded: Loaded[] = []
    for (const [i, { bytes, subject }] of GRAPHS.entries()) {
      const graphPath = join(folder, `${i}.onnx`)
      await writeFile(graphPath, bytes)
      const { signature } = subject
      loaded.push({
        ...subject,
        model: await engine.load({ digest: `${i}`, graphPath, signature }),
      })
    }
    for (let done = 0; done < o.cases && faults(proof) === 0; done++) {
      const random = randomOf(o.seed + done)
      const subject = random.pick(loaded)
      const limits = { ...LIMITS, batchRowsMax: random.pick([2, 4, 8, 16]) }
      const killAt = new Set<number>()
      if (random.next() < KILLED_CASES) for (let i = 0; i < 2; i++) killAt.add(random.int(1, 60))
      const book = await play(subject, {
        limits,
        steps: stepsOf(random, 40, ask => fitting(subject, ask)),
        onMoment(moment) {
          const processes = engine.processes()
          if (!killAt.has(moment) || processes.length === 0) return
          const { pid } = random.pick(processes)
          kills++
          process.kill(pid, 'SIGKILL')
        },
        async pause(idle) {
          await sleep(1)
          return idle < ANSWER_MS_MAX
        },
      })
      enter(
        proof,
        book,
        `real case ${o.seed + done}`,
        judge(subject, book, { limits, canBeGone: false }),
      )
      o.onCase?.(done + 1)
    }
  } finally {
    await engine.close()
    await rm(folder, { recursive: true })
  }
  return { kills }
}

/** What the graphs can be asked: rows by the power of two, and only failures that the graph has. */
function fitting({ kind, signature }: Subject, ask: Ask): Ask {
  const isOpen = signature.inputs[0]!.shape[1] === -1
  return {
    ...ask,
    rows: kind === 'unbatched' ? ROWS[ask.rows % ROWS.length]! : Math.max(1, ask.rows),
    width: isOpen ? ask.width : WIDTH,
    k: signature.inputs.length === 1 ? 1 : ask.k,
    fault: ask.fault && signature === CAN_FAIL.signature ? POISON : 0,
  }
}
