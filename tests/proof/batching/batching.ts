/** The proof of batching: interleavings without a wrong row or receipt, and planted faults of which each is seen. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { type Copy, copyWith } from '../../chaos/planted.ts'
import { type Fault, PLANTED, plant } from './planted.ts'
import { type Met, prove } from './prove.ts'
import { proveReal } from './real.ts'

/** Beside so many cases on the model in memory, this part of them on the real engine. */
const REAL_PART = 1 / 20
const PLANTED_CASES = 600
/** What a whole proof must have met. */
const FULL_CASES = 4_000
const MET_MIN: Record<keyof Met, number> = {
  requests: 40_000,
  runs: 20_000,
  shared_runs: 5_000,
  split: 2_000,
  failed: 1_000,
  crashes: 1_000,
  left: 1_000,
  late: 1_000,
  refused: 500,
}
const SHOWN_MAX = 5

export async function proveBatching(o: {
  cases: number
  seed: number
  planted: boolean
}): Promise<boolean> {
  const began = performance.now()
  const told = (what: string) => (done: number) => {
    if (done % 1_000 === 0) print(`${done} interleavings ${what}`)
  }
  const proof = await prove({ ...o, onCase: told('in memory') })
  const cases = Math.ceil(o.cases * REAL_PART)
  const { kills } = await proveReal({ ...o, cases, onCase: told('on the engine') }, proof)
  const { rowErrors, receiptErrors, met } = proof
  for (const error of [...rowErrors, ...receiptErrors].slice(0, SHOWN_MAX)) print(`wrong: ${error}`)
  const faults = o.planted ? (Object.keys(PLANTED) as Fault[]) : []
  const caught: Fault[] = []
  // A copy in which nothing is wrong: one that cannot run would be taken for a fault that is seen.
  if (o.planted && (await sees(copyWith('batching', []), o.seed))) {
    throw new Error('a copy of the sources without a fault does not pass')
  }
  for (const fault of faults) {
    const isSeen = await sees(plant(fault), o.seed)
    print(`${isSeen ? 'seen    ' : 'NOT SEEN'}  ${fault}`)
    if (isSeen) caught.push(fault)
  }
  const few = Object.entries(MET_MIN).filter(([name, min]) => met[name as keyof Met] < min)
  const isWhole = o.cases < FULL_CASES || few.length === 0
  if (!isWhole) print(`met too little: ${few.map(([name]) => name)}`)
  const line = {
    proof: 'batching',
    interleavings: proof.interleavings,
    row_errors: rowErrors.length,
    receipt_errors: receiptErrors.length,
    planted: faults.length,
    caught: caught.length,
    ...met,
    kills,
    seed: o.seed,
    seconds: Math.round((performance.now() - began) / 1000),
  }
  print(JSON.stringify(line))
  return rowErrors.length + receiptErrors.length === 0 && caught.length === faults.length && isWhole
}

/** Whether the same cases see that something is wrong with this copy. */
async function sees(copy: Copy, seed: number): Promise<boolean> {
  try {
    const entry = join(copy.root, 'tests/proof/batching/planted-child.ts')
    const argv = ['--no-warnings', entry, String(seed), String(PLANTED_CASES)]
    const [code] = await once(spawn(process.execPath, argv, { stdio: 'ignore' }), 'exit')
    return code === 3
  } finally {
    copy.remove()
  }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
