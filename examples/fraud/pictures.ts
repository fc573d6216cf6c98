/**
 * Draws a report as pictures: `node examples/fraud/pictures.ts <report.json> <folder>`, after
 * `npm run demo -- fraud --output <folder>`, which draws them too. Same report, same bytes.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ATTACKS } from './payment.ts'
import { type Kind, LOGITS, type ModelReport, type Point, type Report } from './report.ts'
import {
  type Axis,
  bar,
  type Colour,
  curve,
  frame,
  mark,
  type Plot,
  picture,
  words,
} from './svg.ts'

const KINDS: Record<Kind, { colour: Colour; named: string }> = {
  velocity: { colour: '#d9480f', named: 'with velocity' },
  plain: { colour: '#868e96', named: 'without' },
}
const SHARES = [0, 0.2, 0.4, 0.6, 0.8, 1]
const PROBABILITIES = [0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999]
const POWERS = [-1, 0, 1, 2, 3, 4, 5]

export function writePictures(report: Report, folder: string): void {
  for (const [name, draw] of Object.entries(PICTURES)) {
    writeFileSync(join(folder, `${name}.svg`), draw(report))
  }
}

export const PICTURES: Record<string, (report: Report) => string> = {
  roc: report =>
    curves(report, {
      title: 'ROC: frauds caught, by honest payments stopped',
      points: 'roc',
      across: share('share of honest payments stopped'),
      up: share('share of frauds caught'),
      start: () => [0, 0],
      summary: ({ auc }) => `AUC ${auc.toFixed(3)}`,
    }),
  'precision-recall': report =>
    curves(report, {
      title: 'Precision over recall',
      points: 'precision_recall',
      across: share('recall: share of frauds caught'),
      up: share('precision: share of frauds among what is stopped'),
      start: ({ precision_recall: [first] }) => [0, first![1]],
      summary: ({ average_precision }) => `average precision ${average_precision.toFixed(3)}`,
    }),
  scores: scoresByPattern,
  latency: latencies,
}

function share(label: string): Axis {
  return { label, from: 0, to: 1, ticks: SHARES }
}

function curves(
  { models }: Report,
  o: {
    title: string
    points: 'roc' | 'precision_recall'
    across: Axis
    up: Axis
    /** Where nothing is stopped yet. */
    start: (model: ModelReport) => Point
    summary: (model: ModelReport) => string
  },
): string {
  const plot = { x: 56, y: 84, width: 420, height: 300, across: o.across, up: o.up }
  const drawn = Object.entries(KINDS).flatMap(([kind, { colour, named }], i) => {
    const model = models[kind as Kind]
    return [
      curve(plot, [o.start(model), ...model[o.points]], colour),
      words(i === 0 ? 16 : 270, 46, `${named}: ${o.summary(model)}`, 'start', colour),
    ]
  })
  return picture(o.title, { width: 500, height: 434 }, [frame(plot), ...drawn])
}

/** One row for honest payments and one for each attack, both models in it. */
function scoresByPattern({ models }: Report): string {
  const rows = ['honest', ...ATTACKS] as const
  const height = 70
  const drawn = rows.flatMap((pattern, row) => {
    const isLast = row === rows.length - 1
    const counts = Object.keys(KINDS).map(kind => models[kind as Kind].scores[pattern])
    const most = Math.max(1, ...counts.map(each => Math.max(...shares(each))))
    const plot: Plot = {
      x: 90,
      y: 64 + row * (height + 24),
      width: 460,
      height,
      across: {
        label: isLast ? 'score' : '',
        from: LOGITS.from - 1,
        to: LOGITS.to + 1,
        ticks: PROBABILITIES.map(p => Math.log(p / (1 - p))),
        written: logit => (isLast ? String(Number((1 / (1 + Math.exp(-logit))).toFixed(4))) : ''),
      },
      up: { label: '', from: 0, to: most, ticks: [] },
    }
    const bars = Object.entries(KINDS).flatMap(([kind, { colour }], i) =>
      shares(models[kind as Kind].scores[pattern]).map((value, bin) => {
        const left = LOGITS.from - 1 + bin + (i === 0 ? 0.5 : 0)
        return bar(plot, { left, right: left + 0.5, height: value }, colour)
      }),
    )
    return [words(80, plot.y + height / 2 + 4, pattern, 'end'), frame(plot), ...bars]
  })
  const legend = Object.values(KINDS).map(({ colour, named }, i) =>
    words(90 + 110 * i, 46, named, 'start', colour),
  )
  const size = { width: 580, height: 64 + rows.length * (height + 24) + 30 }
  return picture('Scores by pattern: share of payments at each score', size, [...legend, ...drawn])
}

function latencies({ latency }: Report): string {
  const { bins, p50_ms, p99_ms, rate, seconds } = latency
  const most = Math.max(...bins.map(({ count }) => count))
  const to = Math.max(2, Math.ceil(Math.log10(bins.at(-1)!.below)))
  const plot: Plot = {
    x: 56,
    y: 60,
    width: 480,
    height: 240,
    across: {
      label: 'milliseconds from the moment at which a decision was due',
      from: -1,
      to,
      ticks: POWERS.filter(power => power <= to),
      written: power => String(10 ** power),
    },
    up: { label: 'decisions', from: 0, to: most * 1.1, ticks: [0, Math.round(most / 2), most] },
  }
  const bars = bins.map(({ below, count }) => {
    const right = Math.log10(below)
    return bar(plot, { left: right - 0.1, right, height: count }, '#74a9cf')
  })
  const title = `Decisions at ${rate} a second for ${seconds} s, asked by another process`
  return picture(title, { width: 560, height: 350 }, [
    frame(plot),
    ...bars,
    mark(plot, Math.log10(p50_ms), `half: ${p50_ms.toFixed(1)} ms`, '#2b8a3e'),
    mark(plot, Math.log10(p99_ms), `99 %: ${p99_ms.toFixed(1)} ms`, '#c92a2a'),
  ])
}

function shares(counts: readonly number[]): number[] {
  const sum = counts.reduce((a, b) => a + b, 0) || 1
  return counts.map(each => each / sum)
}

if (import.meta.main) {
  const [path, folder] = process.argv.slice(2)
  if (!path || !folder) {
    process.stderr.write('node examples/fraud/pictures.ts <report.json> <folder>\n')
    process.exitCode = 2
  } else writePictures(JSON.parse(readFileSync(path, 'utf8')) as Report, folder)
}
