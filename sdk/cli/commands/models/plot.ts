/** The curve of a version as an SVG: rows per second and time of a run over the rows of a batch. */
import type { Tuning } from './profile.ts'

type Line = { threads: number; points: [x: number, y: number][] }
type Panel = { title: string; left: number; lines: Line[]; marked: [x: number, y: number] }

const WIDTH = 360
const HEIGHT = 240
const MARGIN = 56
const TOP = 64
const INK = '#343a40'
const PALE = '#dee2e6'
const COLOURS = ['#1864ab', '#e8590c', '#2b8a3e', '#862e9c', '#c92a2a']

export function plotOf(name: string, tuning: Tuning): string {
  const { hardware, threads, batch_rows, curve } = tuning
  const all = [...new Set(curve.map(point => point.threads))]
  const linesOf = (y: (point: Tuning['curve'][number]) => number): Line[] =>
    all.map(count => ({
      threads: count,
      points: curve.filter(point => point.threads === count).map(point => [point.rows, y(point)]),
    }))
  const used = curve.find(point => point.threads === threads && point.rows === batch_rows)!
  const rate = ({ rows, run_us }: typeof used) => (rows * 1e6) / run_us
  const panels: Panel[] = [
    {
      title: 'rows per second',
      left: MARGIN,
      lines: linesOf(rate),
      marked: [used.rows, rate(used)],
    },
    {
      title: 'milliseconds a run',
      left: WIDTH + MARGIN * 2,
      lines: linesOf(point => point.run_us / 1000),
      marked: [used.rows, used.run_us / 1000],
    },
  ]
  const [width, height] = [WIDTH * 2 + MARGIN * 3, HEIGHT + TOP + MARGIN]
  const title = `${name} on ${hardware}: ${count(threads, 'thread')}, ${count(batch_rows, 'row')} a batch at most`
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="system-ui, sans-serif" font-size="12" fill="${INK}">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    text(16, 24, title, 'start'),
    ...panels.map(draw),
    ...all.map((threads, i) =>
      text(
        width - MARGIN - 90 * (all.length - 1 - i),
        24,
        count(threads, 'thread'),
        'end',
        COLOURS[i % COLOURS.length]!,
      ),
    ),
    '</svg>\n',
  ].join('\n')
}

/** Both axes are logarithmic: sizes double, and so, at best, does what comes of them. */
function draw({ title, left, lines, marked }: Panel): string {
  const points = lines.flatMap(line => line.points)
  const across = scale(
    points.map(([x]) => x),
    left,
    left + WIDTH,
  )
  const up = scale(
    points.map(([, y]) => y),
    TOP + HEIGHT,
    TOP,
  )
  const bottom = TOP + HEIGHT
  const xs = [...new Set(points.map(([x]) => x))]
  return [
    text(left, TOP - 10, title, 'start'),
    ...xs.map(
      x => `${rule(across(x), TOP, across(x), bottom)}${text(across(x), bottom + 16, `${x}`)}`,
    ),
    ...decades(points.map(([, y]) => y)).map(
      y => `${rule(left, up(y), left + WIDTH, up(y))}${text(left - 6, up(y) + 4, short(y), 'end')}`,
    ),
    text(left + WIDTH / 2, bottom + 36, 'rows of a batch'),
    ...lines.map(({ points: own }, i) => {
      const path = own.map(([x, y], at) => `${at === 0 ? 'M' : 'L'}${across(x)} ${up(y)}`).join('')
      return `<path d="${path}" fill="none" stroke="${COLOURS[i % COLOURS.length]}" stroke-width="2"/>`
    }),
    `<circle cx="${across(marked[0])}" cy="${up(marked[1])}" r="5" fill="none" stroke="${INK}" stroke-width="2"/>`,
  ].join('\n')
}

/** From values to places, by their logarithms; all in the middle where there is but one value. */
function scale(values: number[], from: number, to: number): (value: number) => number {
  const low = Math.log(Math.min(...values))
  const high = Math.log(Math.max(...values))
  return value => {
    const share = high > low ? (Math.log(value) - low) / (high - low) : 0.5
    return Math.round((from + share * (to - from)) * 10) / 10
  }
}

/** 1, 10, 100 … and between them 2 and 5 where the values span little. */
function decades(values: number[]): number[] {
  const [low, high] = [Math.min(...values), Math.max(...values)]
  const steps = high / low > 200 ? [1] : [1, 2, 5]
  const ticks: number[] = []
  for (let decade = 10 ** Math.floor(Math.log10(low)); decade <= high; decade *= 10) {
    for (const step of steps) {
      const tick = Number((decade * step).toPrecision(3))
      if (tick >= low && tick <= high) ticks.push(tick)
    }
  }
  return ticks
}

function rule(x1: number, y1: number, x2: number, y2: number): string {
  return `<path d="M${x1} ${y1}L${x2} ${y2}" stroke="${PALE}" fill="none"/>`
}

function text(x: number, y: number, said: string, anchor = 'middle', fill = INK): string {
  return `<text x="${x}" y="${y}" text-anchor="${anchor}" fill="${fill}">${escaped(said)}</text>`
}

function short(value: number): string {
  if (value >= 1e6) return `${value / 1e6}M`
  if (value >= 1e3) return `${value / 1e3}k`
  return `${value}`
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`
}

function escaped(said: string): string {
  return said.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}
