/** Just enough SVG for a chart: a frame with two axes, and lines, bars and words inside it. */

export type Axis = {
  label: string
  from: number
  to: number
  ticks: readonly number[]
  written?: (tick: number) => string
}
export type Plot = { x: number; y: number; width: number; height: number; across: Axis; up: Axis }
export type Colour = `#${string}`

const INK = '#343a40'
const PALE = '#dee2e6'
const FONT = 'system-ui, sans-serif'

/** A whole picture under its title; `parts` are drawn in their order. */
export function picture(
  title: string,
  { width, height }: { width: number; height: number },
  parts: readonly string[],
): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="${FONT}" font-size="12" fill="${INK}">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    words(16, 24, title),
    ...parts,
    '</svg>\n',
  ].join('\n')
}

export function frame({ x, y, width, height, across, up }: Plot): string {
  const bottom = y + height
  const plot = { x, y, width, height, across, up }
  const vertical = across.ticks.map(tick => {
    const [at] = place(plot, tick, up.from)
    return `${stroke(`M${at} ${y}V${bottom}`, PALE, 1)}${words(at, bottom + 16, write(across, tick), 'middle')}`
  })
  const horizontal = up.ticks.map(tick => {
    const [, at] = place(plot, across.from, tick)
    return `${stroke(`M${x} ${at}H${x + width}`, PALE, 1)}${words(x - 6, at + 4, write(up, tick), 'end')}`
  })
  return [
    ...vertical,
    ...horizontal,
    words(x + width / 2, bottom + 34, across.label, 'middle'),
    words(x, y - 8, up.label, 'start'),
  ].join('\n')
}

export function curve(plot: Plot, points: readonly (readonly [number, number])[], colour: Colour) {
  const path = points.map(([a, b], i) => `${i === 0 ? 'M' : 'L'}${place(plot, a, b).join(' ')}`)
  return stroke(path.join(''), colour, 2)
}

/** From the floor up; `left` and `right` in units of the axis across. */
export function bar(
  plot: Plot,
  { left, right, height }: { left: number; right: number; height: number },
  colour: Colour,
): string {
  const [x1, y] = place(plot, left, height)
  const [x2, floor] = place(plot, right, plot.up.from)
  if (floor - y <= 0) return ''
  return `<rect x="${x1}" y="${y}" width="${round(x2 - x1 - 1)}" height="${round(floor - y)}" fill="${colour}"/>`
}

/** A line from bottom to top. */
export function mark(plot: Plot, at: number, label: string, colour: Colour): string {
  const [x] = place(plot, at, plot.up.from)
  const line = stroke(`M${x} ${plot.y}V${plot.y + plot.height}`, colour, 1.5)
  return `${line}${words(x + 4, plot.y + 12, label, 'start', colour)}`
}

export function words(
  x: number,
  y: number,
  text: string,
  anchor: 'start' | 'middle' | 'end' = 'start',
  colour: Colour = INK,
): string {
  return `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}" fill="${colour}">${escaped(text)}</text>`
}

/** Where a value stands; what is outside stands at the edge. */
function place({ x, y, width, height, across, up }: Plot, a: number, b: number): [number, number] {
  const share = ({ from, to }: Axis, value: number) =>
    Math.min(1, Math.max(0, (value - from) / (to - from)))
  return [round(x + width * share(across, a)), round(y + height * (1 - share(up, b)))]
}

function stroke(path: string, colour: Colour, width: number): string {
  return `<path d="${path}" fill="none" stroke="${colour}" stroke-width="${width}" stroke-linejoin="round"/>`
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}

function write({ written = String }: Axis, tick: number): string {
  return written(tick)
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
