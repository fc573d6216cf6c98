import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Named } from '#core/decisions/named.ts'
import { compilePolicy } from '#core/decisions/policy.ts'
import type { Rule } from '#schemas/decision.ts'
import type { ValueType } from '#schemas/feature.ts'

const SCOPE: Record<string, ValueType> = {
  'card.count': { type: 'int' },
  'card.spent': { type: 'decimal', scale: 2 },
  'card.last': { type: 'string' },
  'card.last3': { type: 'string', list: true },
  'request.amount': { type: 'decimal', scale: 2 },
  ratio: { type: 'float' },
  score: { type: 'float' },
}
const rule = (name: string, when: string, answer: string | null): Rule => ({ name, when, answer })
const judge = (rules: Rule[], values: Named, otherwise = 'approve') =>
  compilePolicy({ rules, otherwise, scope: SCOPE })(values)

describe('rules', () => {
  test('the first one that holds decides, and those before it that only explain are its reasons', () => {
    const rules = [
      rule('busy', 'card.count > 3', null),
      rule('rich', 'card.spent > 100.5', null),
      rule('high', 'score >= 0.9', 'decline'),
      rule('raised', 'score >= 0.5', 'review'),
      rule('never reached', 'score >= 0', null),
    ]
    expect(judge(rules, { 'card.count': 4, 'card.spent': 10_050, score: 0.95 })).toEqual({
      answer: 'decline',
      reasons: [
        { rule: 'busy', answer: null },
        { rule: 'high', answer: 'decline' },
      ],
    })
    expect(judge(rules, { 'card.count': 3, 'card.spent': 10_051, score: 0.5 })).toEqual({
      answer: 'review',
      reasons: [
        { rule: 'rich', answer: null },
        { rule: 'raised', answer: 'review' },
      ],
    })
  })

  test('none that holds leaves the answer to otherwise, with the reasons that held', () => {
    const rules = [rule('busy', 'card.count > 3', null), rule('high', 'score > 0.9', 'decline')]
    const values = { 'card.count': 9, score: 0.1 }
    const reasons = [{ rule: 'busy', answer: null }]
    expect(judge(rules, values)).toEqual({ answer: 'approve', reasons })
  })

  test('an unknown condition does not hold: a missing feature declines nobody', () => {
    const rules = [
      rule('spent', 'card.spent > 0', 'decline'),
      rule('not spent', 'not card.spent > 0', 'review'),
      rule('unknown', 'card.spent is null', 'ask'),
    ]
    expect(judge(rules, { 'card.spent': null }).answer).toBe('ask')
    expect(judge(rules, {}).answer).toBe('ask')
  })

  test('decimals are compared exactly, as they are written', () => {
    const rules = [rule('ten cents', 'request.amount >= 0.1', 'yes')]
    expect(judge(rules, { 'request.amount': 10 }).answer).toBe('yes')
    expect(judge(rules, { 'request.amount': 9 }).answer).toBe('approve')
    const scores = [rule('half', 'score > 0.5', 'yes')]
    expect(judge(scores, { score: 0.5 }).answer).toBe('approve')
    expect(judge(scores, { score: 0.5000000000000001 }).answer).toBe('yes')
  })

  test('digits that no number holds are unknown, texts are themselves', () => {
    const rules = [
      rule('large', 'card.spent > 5', 'large'),
      rule('land', `card.last = 'DE'`, 'land'),
    ]
    expect(judge(rules, { 'card.spent': '9007199254740993', 'card.last': 'FR' }).answer).toBe(
      'approve',
    )
    expect(judge(rules, { 'card.spent': '9007199254740993', 'card.last': 'DE' }).answer).toBe(
      'land',
    )
  })
})

test('for any rules the answer is that of a loop over them that a child would write', () => {
  const anyRule = fc.record({
    name: fc.string({ minLength: 1 }),
    bound: fc.integer({ min: 0, max: 10 }),
    by: fc.constantFrom('card.count', 'ratio', 'score'),
    answer: fc.option(fc.constantFrom('a', 'b', 'c'), { nil: null }),
  })
  const anyValue = fc.option(fc.integer({ min: 0, max: 10 }), { nil: null })
  const anyValues = fc.record({ 'card.count': anyValue, ratio: anyValue, score: anyValue })
  fc.assert(
    fc.property(fc.array(anyRule, { maxLength: 8 }), anyValues, (rules, values) => {
      const compiled = rules.map(({ name, by, bound, answer }) =>
        rule(name, `${by} >= ${bound}`, answer),
      )
      let answer: string | null = null
      const reasons: { rule: string; answer: string | null }[] = []
      for (const each of rules) {
        const value = values[each.by as keyof typeof values]
        if (answer !== null || value === null || value < each.bound) continue
        reasons.push({ rule: each.name, answer: each.answer })
        answer = each.answer
      }
      expect(judge(compiled, values, 'z')).toEqual({ answer: answer ?? 'z', reasons })
    }),
  )
})
