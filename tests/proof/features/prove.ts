/** Cases by the hundred: the object's answers, the SQL's and the oracle's, held against each other bit by bit. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Case, caseOf } from './cases.ts'
import { edgesOf } from './edges.ts'
import { factsOf, type Offline, openOffline } from './offline.ts'
import { type Answer, answers, type Knowledge } from './oracle.ts'
import { type Played, play } from './run.ts'

export type Mismatch = {
  case: number
  view: unknown
  feature: string
  entityKey: string
  t: number
  knowledge: Knowledge
  served?: Answer
  sql?: Answer
  oracle: Answer
}
export type Proof = {
  cases: number
  reads: number
  values: number
  late: number
  retracted: number
  crashes: number
  mismatches: Mismatch[]
}

/** `mismatchesMax`: so many are enough to know that something is wrong. */
export async function prove(o: {
  seed: number
  cases: number
  mismatchesMax?: number
  onCase?: (done: number) => void
}): Promise<Proof> {
  const folder = mkdtempSync(join(tmpdir(), 'galley-proof-'))
  const offline = await openOffline()
  const proof: Proof = {
    cases: 0,
    reads: 0,
    values: 0,
    late: 0,
    retracted: 0,
    crashes: 0,
    mismatches: [],
  }
  try {
    while (proof.cases < o.cases && proof.mismatches.length < (o.mismatchesMax ?? 5)) {
      const one = caseOf(o.seed + proof.cases)
      // A case that throws disproves as much as one that answers wrong.
      const played = await play(one, folder)
      count(proof, played)
      proof.mismatches.push(...(await compare(one, played, offline, proof)))
      proof.cases++
      o.onCase?.(proof.cases)
    }
  } finally {
    offline.close()
    rmSync(folder, { recursive: true, force: true })
  }
  return proof
}

function count(proof: Proof, played: Played): void {
  proof.crashes += played.crashes
  proof.reads += played.served.length
  const newest = new Map<string, number>()
  for (const { position, event } of played.positions) {
    if (event.retracts !== null) {
      proof.retracted++
      continue
    }
    const place = `${position.entity} ${position.entityKey}`
    const before = newest.get(place) ?? 0
    if (event.eventTime < before) proof.late++
    newest.set(place, Math.max(before, event.eventTime))
  }
}

async function compare(
  one: Case,
  played: Played,
  offline: Offline,
  proof: Proof,
): Promise<Mismatch[]> {
  await offline.load(played)
  const facts = factsOf(played)
  const found: Mismatch[] = []
  const times = played.served.map(({ t }) => t)
  const asOf = times[Math.floor(times.length / 2)] ?? null
  const others: Knowledge[] = [
    { mode: 'as_corrected', asOf: null },
    { mode: 'as_corrected', asOf },
    { mode: 'as_served', asOf },
  ]
  const ways: Knowledge[] = [{ mode: 'as_served', asOf: null }, others[one.seed % others.length]!]
  for (const plan of played.plan.views) {
    const view = one.views.find(({ name }) => name === plan.view)!
    const served = played.served.filter(({ entity }) => entity === plan.entity)
    const index = played.plan.views.filter(({ entity }) => entity === plan.entity).indexOf(plan)
    for (const knowledge of ways) {
      // At the edges there was no read: there, what is compared is SQL with the oracle.
      const asked = [...served, ...edgesOf(plan, facts, one.seed)]
      const sql = await offline.ask(plan, asked, knowledge)
      for (const [i, { entityKey, t }] of asked.entries()) {
        const own = facts.filter(
          each => each.entity === plan.entity && each.entityKey === entityKey,
        )
        const expected = answers(
          view,
          own.map(({ fact }) => fact),
          t,
          knowledge,
        )
        for (const [j, { name }] of plan.features.entries()) {
          proof.values++
          const oracle = expected[name]!
          const isServed = knowledge.mode === 'as_served' && knowledge.asOf === null
          const read = isServed ? served[i]?.read.views[index] : undefined
          const online = read && { value: read.values[j]!, status: read.statuses[j]! }
          if (same(sql[i]![j]!, oracle) && (!online || same(online, oracle))) continue
          const at = {
            case: one.seed,
            view: view.definition,
            feature: name,
            entityKey,
            t,
            knowledge,
          }
          found.push({ ...at, served: online, sql: sql[i]![j]!, oracle })
        }
      }
    }
  }
  return found
}

/** Bit for bit: 0 is not -0, and a text of digits is no number. */
function same(a: Answer, b: Answer): boolean {
  if (a.status !== b.status) return false
  const [x, y] = [a.value, b.value]
  if (!Array.isArray(x) || !Array.isArray(y)) return Object.is(x, y)
  return x.length === y.length && x.every((each, i) => Object.is(each, y[i]))
}
