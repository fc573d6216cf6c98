import { expect, test } from 'vitest'
import { leftOut } from '../../cloud/left-out.ts'
import { EXCLUDED } from '../../conformance/engines.ts'

const CASE = 'who left takes no message with him'
const result = (title: string, server: string, status: string) => ({
  title,
  fullName: `queue on sqs (${server}) ${title}`,
  status,
})

test('a case that did not run is told, unless its exclusion says why for that very server', () => {
  const results = [
    result(CASE, 'fauxqs', 'skipped'),
    result(CASE, 'another', 'skipped'),
    result('what nobody excluded', 'moto', 'pending'),
    result('what ran', 'moto', 'passed'),
    result('what ran', 'fauxqs', 'failed'),
  ]
  expect(leftOut(results, EXCLUDED)).toEqual([
    `queue on sqs (another) ${CASE}`,
    'queue on sqs (moto) what nobody excluded',
  ])
  expect(leftOut(results, [])).toHaveLength(3)
})

test('a case that runs in part for a server is not excused as a whole', () => {
  const narrowed = 'every message of many calls and sizes arrives once and unchanged'
  expect(EXCLUDED.some(each => each.case.startsWith(`${narrowed}: `))).toBe(true)
  expect(leftOut([result(narrowed, 'fauxqs', 'skipped')], EXCLUDED)).toHaveLength(1)
})
