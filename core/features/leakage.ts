/**
 * A linter for leakage: definitions that are legal and smell of the answer. Features never see the event
 * that is asked about; what can still leak is a field that holds the truth, or that is only known later.
 */
import type { ViewPlan } from '#schemas/feature.ts'
import { namesOf, parseExpression } from './expression.ts'

export type Warning = { pointer: string; detail: string }

const TRUTH =
  /(^|_)(label|labels|target|truth|fraud|is_fraud|chargeback|charge_back|churned|outcome|converted)(_|$)/
const DAY = 86_400_000_000
/** Events that arrive so late make training see what serving, at that time, did not know. */
const LATE = 7 * DAY

export function leaksOf(view: ViewPlan): Warning[] {
  const features = view.features.flatMap(({ name, of }): Warning[] =>
    of !== null && TRUTH.test(of) ? [{ pointer: `/features/${name}/of`, detail: truth(of) }] : [],
  )
  const filtered = view.filter === null ? [] : namesOf(parseExpression(view.filter, view.fields))
  const filters = filtered
    .filter(name => TRUTH.test(name))
    .map((name): Warning => ({ pointer: '/filter', detail: truth(name) }))
  const late: Warning[] =
    view.latenessMax > LATE
      ? [
          {
            pointer: '/allowed_lateness',
            detail: `Events up to ${Math.round(view.latenessMax / DAY)} days late are counted: train in the mode as_served, which sees what was known at the time; as_corrected sees more.`,
          },
        ]
      : []
  return [...features, ...filters, ...late]
}

function truth(field: string): string {
  return `"${field}" looks like the answer itself: a model that sees earlier answers of the same entity may be right for the wrong reason.`
}
