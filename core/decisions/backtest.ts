/**
 * What another definition would have answered to decisions of the past, from what they were made by. Rules
 * are tried; a score is taken as it was, so decisions of another model or other features are left out.
 */
import { and, desc, eq, sql } from 'drizzle-orm'
import type { Unit } from '#core/deps.ts'
import { canonical } from '#core/features/compile.ts'
import { namesOf, parseExpression } from '#core/features/expression.ts'
import type { EndpointDefinition } from '#schemas/contracts/decisions.ts'
import type { DecisionPlan } from '#schemas/decision.ts'
import { decisions } from '#schemas/tables/decisions.ts'
import { compiled, endpointPlan, mustExist } from './endpoints.ts'
import { compileNaming } from './named.ts'
import { compilePolicy } from './policy.ts'

const PAGE = 500
const EXAMPLES_MAX = 20

type Row = typeof decisions.$inferSelect
type Skip = 'unanswered' | 'other_features' | 'other_model'
type Change = { from: string; to: string; count: number; labels: Record<string, number> }

/** Changes nothing. Throws `not_found`, `invalid_definition`. */
export async function backtest(
  unit: Unit,
  {
    endpoint,
    definition,
    limit,
  }: { endpoint: string; definition: EndpointDefinition; limit: number },
) {
  await mustExist(unit, endpoint)
  const plan = await compiled(unit, endpoint, definition)
  const trial = trialOf(plan)
  const made = new Map<number, DecisionPlan | null>()
  const tally = newTally()
  for await (const row of newestFirst(unit, endpoint, limit)) {
    const version = row.endpointVersion
    if (!made.has(version)) made.set(version, await endpointPlan(unit, endpoint, version))
    const found = trial(row, made.get(version)!)
    if ('skip' in found) tally.skip(found.skip)
    else tally.count(row, found.answer)
  }
  return tally.result()
}

/** The answer to one decision, or why there is none. */
function trialOf(plan: DecisionPlan) {
  const name = compileNaming(plan)
  const judge = compilePolicy(plan)
  const asksScore = plan.rules.some(({ when }) =>
    namesOf(parseExpression(when, plan.scope)).includes('score'),
  )
  return (
    { snapshot, outcome }: Row,
    before: DecisionPlan | null,
  ): { answer: string } | { skip: Skip } => {
    if (!snapshot || !outcome || !before) return { skip: 'unanswered' }
    if (before.service.hash !== plan.service.hash) return { skip: 'other_features' }
    if (asksScore && !isSameModel(before, plan)) return { skip: 'other_model' }
    const values = name(snapshot.reads, snapshot.event.data)
    values.score = outcome.score
    return { answer: judge(values).answer }
  }
}

/** Another version of it gives other scores, but which one was asked is what the score is from. */
function isSameModel(before: DecisionPlan, plan: DecisionPlan): boolean {
  return canonical(before.model) === canonical(plan.model)
}

function newTally() {
  const skipped: Record<Skip, number> = { unanswered: 0, other_features: 0, other_model: 0 }
  const changes = new Map<string, Change>()
  const examples: { source: string; id: string; from: string; to: string; score: number | null }[] =
    []
  let compared = 0
  return {
    skip(why: Skip) {
      skipped[why]++
    },
    count({ snapshot, outcome, label }: Row, to: string) {
      compared++
      const { answer: from, score } = outcome!
      const key = JSON.stringify([from, to])
      const change = changes.get(key) ?? { from, to, count: 0, labels: {} }
      changes.set(key, change)
      change.count++
      if (label) {
        const text = String(label.value)
        change.labels[text] = (change.labels[text] ?? 0) + 1
      }
      if (from === to || examples.length >= EXAMPLES_MAX) return
      const { source, id } = snapshot!.event
      examples.push({ source, id, from, to, score })
    },
    result() {
      const answers = [...changes.values()].sort((a, b) => b.count - a.count)
      const changed = answers
        .filter(({ from, to }) => from !== to)
        .reduce((sum, { count }) => sum + count, 0)
      const left = Object.values(skipped).reduce((sum, count) => sum + count, 0)
      return { decisions: compared + left, compared, changed, skipped, answers, examples }
    },
  }
}

async function* newestFirst(unit: Unit, endpoint: string, limit: number): AsyncGenerator<Row> {
  let last: Row | undefined
  for (let left = limit; left > 0; left -= PAGE) {
    const rows: Row[] = await unit.tx
      .select()
      .from(decisions)
      .where(
        and(
          eq(decisions.endpoint, endpoint),
          last &&
            sql`(${decisions.at}, ${decisions.eventKey}) < (${last.at}, ${last.eventKey}::uuid)`,
        ),
      )
      .orderBy(desc(decisions.at), desc(decisions.eventKey))
      .limit(Math.min(PAGE, left))
    yield* rows
    if (rows.length < PAGE) return
    last = rows.at(-1)
  }
}
