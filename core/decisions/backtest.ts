/**
 * What another definition would have answered to decisions of the past, from what they were made by. Where
 * another model would be asked, its questions are left to who can ask it.
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
import { type Past, type Skip, Tally, type Tried, type Unscored } from './tally.ts'

const PAGE = 500
/** They travel to the edge with all their values. */
const UNSCORED_MAX = 5_000

type Row = typeof decisions.$inferSelect
/** `unscored`: decisions that are not counted yet, with the plan that they wait for. */
export type Backtest = Tried & { unscored?: { plan: DecisionPlan; rows: Unscored[] } }

/** Changes nothing. Throws `not_found`, `invalid_definition`. */
export async function backtest(
  unit: Unit,
  input: { endpoint: string; definition: EndpointDefinition; limit: number },
): Promise<Backtest> {
  const { endpoint, definition, limit } = input
  await mustExist(unit, endpoint)
  const plan = await compiled(unit, endpoint, definition)
  const trial = trialOf(plan)
  const made = new Map<number, DecisionPlan | null>()
  const tally = new Tally()
  const rows: Unscored[] = []
  for await (const row of newestFirst(unit, endpoint, limit)) {
    const version = row.endpointVersion
    if (!made.has(version)) made.set(version, await endpointPlan(unit, endpoint, version))
    const found = trial(row, made.get(version)!)
    if ('answer' in found) tally.count(pastOf(row), found.answer, row.outcome!.score)
    else if ('skip' in found) tally.skip(found.skip)
    else if (rows.length < UNSCORED_MAX) rows.push({ ...pastOf(row), values: found.values })
    else tally.skip('other_model')
  }
  return rows.length === 0 ? tally.result() : { ...tally.result(), unscored: { plan, rows } }
}

type Found = { answer: string } | { values: Unscored['values'] } | { skip: Skip }

/** The answer to one decision, or the values that a model must see first, or why there is neither. */
function trialOf(plan: DecisionPlan): (row: Row, before: DecisionPlan | null) => Found {
  const name = compileNaming(plan)
  const judge = compilePolicy(plan)
  const asksScore = plan.rules.some(({ when }) =>
    namesOf(parseExpression(when, plan.scope)).includes('score'),
  )
  return ({ snapshot, outcome }, before) => {
    if (!snapshot || !outcome || !before) return { skip: 'unanswered' }
    if (before.service.hash !== plan.service.hash) return { skip: 'other_features' }
    const values = name(snapshot.reads, snapshot.event.data)
    if (asksScore && !isSameModel(before, plan)) return { values }
    values.score = outcome.score
    return { answer: judge(values).answer }
  }
}

/** An alias may mean another version by now: the score is that of the version which was asked. */
function isSameModel(before: DecisionPlan, plan: DecisionPlan): boolean {
  return canonical(before.model) === canonical(plan.model)
}

function pastOf({ snapshot, outcome, label }: Row): Past {
  const { source, id } = snapshot!.event
  return { source, id, from: outcome!.answer, label: label && String(label.value) }
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
