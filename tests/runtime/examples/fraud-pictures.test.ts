/** The fraud example's pictures show a report, whatever is in it, and those in the project show its own. */
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PICTURES } from '../../../examples/fraud/pictures.ts'
import { binned, modelReport, type Report } from '../../../examples/fraud/report.ts'

const FOLDER = new URL('../../../examples/fraud/pictures/', import.meta.url)

const payments = fc
  .array(
    fc.record({
      score: fc.double({ min: 0, max: 1, noNaN: true }),
      label: fc.nat(1),
      amount: fc.nat(900),
    }),
    { minLength: 2, maxLength: 50 },
  )
  .filter(rows => new Set(rows.map(({ label }) => label)).size === 2)

function reportOf(rows: { score: number; label: number; amount: number }[], ms: number[]): Report {
  const scored = rows.map(row => ({ ...row, attack: row.label === 1 ? 'testing' : null }))
  const model = modelReport(scored, { review: 0.5, decline: 0.9 })
  const latency = { rate: 9, seconds: 1, p50_ms: 1, p90_ms: 2, p99_ms: 3, max_ms: 4 }
  return {
    models: { plain: model, velocity: model },
    latency: { ...latency, bins: binned(ms) },
  } as Report
}

test('every picture is well-formed and has no number that is none, whatever was measured', () => {
  const times = fc.array(fc.double({ min: 0, max: 5_000, noNaN: true }), { minLength: 1 })
  fc.assert(
    fc.property(payments, times, (rows, ms) => {
      const report = reportOf(rows, ms)
      for (const draw of Object.values(PICTURES)) {
        const svg = draw(report)
        expect(draw(report)).toBe(svg)
        expect(svg).not.toMatch(/NaN|Infinity|undefined/)
        expect(svg.match(/<text/g)?.length).toBe(svg.match(/<\/text>/g)?.length)
        expect(svg).toMatch(/^<svg [^>]*>[\s\S]*<\/svg>\n$/)
      }
    }),
    { numRuns: 30 },
  )
})

test('each payment and each decision is in one bin', () => {
  fc.assert(
    fc.property(
      payments,
      fc.array(fc.double({ min: 0, max: 1e5, noNaN: true }), { minLength: 1 }),
      (rows, ms) => {
        const { scores } = reportOf(rows, ms).models.velocity
        const counted = Object.values(scores)
          .flat()
          .reduce((sum, count) => sum + count, 0)
        expect(counted).toBe(rows.length)
        expect(binned(ms).reduce((sum, { count }) => sum + count, 0)).toBe(ms.length)
      },
    ),
  )
})

test('the pictures in the project are drawn from the report beside them', () => {
  const read = (name: string) => readFileSync(new URL(name, FOLDER), 'utf8')
  const report = JSON.parse(read('report.json')) as Report
  for (const [name, draw] of Object.entries(PICTURES)) {
    expect(draw(report)).toBe(read(`${name}.svg`))
  }
})
