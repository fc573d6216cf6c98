/** The proof of features: many cases without a mismatch, and planted faults of which each is seen. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { type Fault, PLANTED, plant } from './planted.ts'
import { prove } from './prove.ts'

const PLANTED_CASES = 120
/** What a whole proof must have met. */
const FULL_CASES = 2_000
const MET_MIN = { late: 500, retracted: 200, crashes: 200 }

export async function proveFeatures(o: {
  cases: number
  seed: number
  planted: boolean
}): Promise<boolean> {
  const began = performance.now()
  const proof = await prove({ ...o, onCase: done => done % 100 === 0 && print(`${done} cases`) })
  for (const mismatch of proof.mismatches) print(`mismatch: ${JSON.stringify(mismatch)}`)
  const faults = o.planted ? (Object.keys(PLANTED) as Fault[]) : []
  const caught: Fault[] = []
  for (const fault of faults) {
    const isSeen = await sees(fault, o.seed)
    print(`${isSeen ? 'seen    ' : 'NOT SEEN'}  ${fault}`)
    if (isSeen) caught.push(fault)
  }
  const { mismatches, ...met } = proof
  const isWhole =
    o.cases < FULL_CASES ||
    Object.entries(MET_MIN).every(([name, min]) => met[name as keyof typeof MET_MIN] >= min)
  print(
    JSON.stringify({
      proof: 'features',
      ...met,
      mismatches: mismatches.length,
      planted: faults.length,
      caught: caught.length,
      seed: o.seed,
      seconds: Math.round((performance.now() - began) / 1000),
    }),
  )
  return mismatches.length === 0 && caught.length === faults.length && isWhole
}

/** Whether the same cases see a copy with this fault. */
async function sees(fault: Fault, seed: number): Promise<boolean> {
  const copy = plant(fault)
  try {
    const entry = join(copy.root, 'tests/proof/features/planted-child.ts')
    const child = spawn(process.execPath, [entry, String(seed), String(PLANTED_CASES)], {
      stdio: 'ignore',
    })
    const [code] = await once(child, 'exit')
    return code === 3
  } finally {
    copy.remove()
  }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
