/**
 * The policy of an endpoint: rules in order, over features, the event's fields and the score. Compiled
 * once per plan; it runs wherever decisions are made, and where they are made again.
 */
import { evaluator, parseExpression } from '#core/features/expression.ts'
import type { DecisionPlan, Reason } from '#schemas/decision.ts'
import type { Named } from './named.ts'

export type Judged = { answer: string; reasons: Reason[] }

/**
 * The first rule with an answer whose condition is true decides; a condition that is unknown is not
 * true. Reasons are the rules that held, up to the one that decided.
 */
export function compilePolicy({
  rules,
  otherwise,
  scope,
}: Pick<DecisionPlan, 'rules' | 'otherwise' | 'scope'>): (values: Named) => Judged {
  const compiled = rules.map(({ name, when, answer }) => ({
    reason: { rule: name, answer },
    holds: evaluator<Named>(parseExpression(when, scope), named => {
      const isText = scope[named]!.type === 'string'
      return values => {
        const value = values[named] ?? null
        // Lists are in no expression; digits beyond a safe integer are as good as unknown.
        return Array.isArray(value) || (typeof value === 'string' && !isText) ? null : value
      }
    }),
  }))
  return values => {
    const reasons: Reason[] = []
    for (const { reason, holds } of compiled) {
      if (holds(values) !== true) continue
      reasons.push(reason)
      if (reason.answer !== null) return { answer: reason.answer, reasons }
    }
    return { answer: otherwise, reasons }
  }
}
