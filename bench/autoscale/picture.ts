/** Two hours of a trace under each policy: runners that there are, those that work, and steps that wait. */
import { POLICIES, type Policy } from './grids.ts'
import { LOOK_S, replay } from './replay.ts'
import type { Trace } from './traces.ts'
import type { Tuned } from './tune.ts'

const WIDTH = 900
const BAND = 130
const LEFT = 60
const SPAN_S = 2 * 3600
const NAMES: Record<Policy, string> = {
  galley: 'Galley',
  keda: 'like KEDA',
  knative: 'like Knative',
}

type Look = { atS: number; present: number; busy: number; queue: number }

export function picture(trace: Trace, tuned: Tuned): string {
  const looks = Object.fromEntries(
    POLICIES.map(policy => {
      const seen: Look[] = []
      replay(trace, tuned[policy].drive, pool => {
        const { nowS } = pool.events
        if (nowS > SPAN_S) return
        const busy = [...pool.machines].filter(machine => machine.step).length
        seen.push({ atS: nowS, present: pool.machines.size, busy, queue: pool.queue.length })
      })
      return [policy, seen]
    }),
  ) as Record<Policy, Look[]>
  const most = Math.max(...POLICIES.flatMap(policy => looks[policy].map(look => look.present)), 1)
  const bands = POLICIES.map((policy, i) => bandOf(policy, looks[policy], most, i * BAND + 30))
  const height = POLICIES.length * BAND + 60
  const hours = Array.from({ length: 5 }, (_, i) => {
    const x = LEFT + (i / 4) * (WIDTH - LEFT - 20)
    return `<text x="${x}" y="${height - 12}" text-anchor="middle">${i / 2} h</text>`
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12" fill="#334">`,
    '<title>Runners that three policies keep for the same arrivals</title>',
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    `<text x="${LEFT}" y="18">${trace.name}, seed ${trace.seed}: runners there (light), busy (dark), steps that wait (line, at most ${most} shown)</text>`,
    ...bands,
    ...hours,
    '</svg>\n',
  ].join('\n')
}

function bandOf(policy: Policy, looks: Look[], most: number, top: number): string {
  const x = (atS: number) => (LEFT + (atS / SPAN_S) * (WIDTH - LEFT - 20)).toFixed(1)
  const y = (value: number) =>
    (top + BAND - 20 - (Math.min(value, most) / most) * (BAND - 30)).toFixed(1)
  const area = (of: (look: Look) => number) =>
    `${looks.map(look => `${x(look.atS)},${y(of(look))} ${x(look.atS + LOOK_S)},${y(of(look))}`).join(' ')} ${x(SPAN_S)},${y(0)} ${LEFT},${y(0)}`
  const line = looks.map(look => `${x(look.atS)},${y(look.queue)}`).join(' ')
  return [
    `<text x="${LEFT}" y="${top + 4}" font-weight="bold">${NAMES[policy]}</text>`,
    `<polygon points="${area(look => look.present)}" fill="#b9d3f0"/>`,
    `<polygon points="${area(look => look.busy)}" fill="#3b6ea8"/>`,
    `<polyline points="${line}" fill="none" stroke="#c0392b" stroke-width="1"/>`,
    `<text x="${LEFT - 6}" y="${Number(y(most)) + 4}" text-anchor="end">${most}</text>`,
    `<text x="${LEFT - 6}" y="${Number(y(0)) + 4}" text-anchor="end">0</text>`,
  ].join('\n')
}
