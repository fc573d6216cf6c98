/** Rows made from a seed, and what the models of this test say to them: y = |x|, exact in 32 bits. */

const COLUMNS = 4

export function row(seed: number, i: number): number[] {
  return [-i, i * 0.5, -(seed % 1000), (i % 7) * -0.25]
}

/** One row of each file does not fit the model: it must be reported by its index, not billed. */
export function badRow(seed: number, rows: number): number {
  return seed % rows
}

export function jsonl(seed: number, rows: number): Buffer {
  const lines: string[] = []
  const bad = badRow(seed, rows)
  for (let i = 0; i < rows; i++) {
    const values = row(seed, i)
    lines.push(JSON.stringify({ x: i === bad ? values.slice(1) : values }))
  }
  return Buffer.from(`${lines.join('\n')}\n`)
}

/** How many lines of a job's result are not what they must be. */
export function wrongLines(text: string, seed: number, rows: number): number {
  const lines = text.trimEnd().split('\n')
  let wrong = Math.abs(lines.length - rows)
  const bad = badRow(seed, rows)
  for (let i = 0; i < Math.min(rows, lines.length); i++) {
    const { index, outputs, error } = JSON.parse(lines[i]!)
    if (index !== i) wrong++
    else if (i === bad ? !error : !same(outputs?.y, row(seed, i))) wrong++
  }
  return wrong
}

export function same(given: number[] | undefined, asked: number[]): boolean {
  if (given?.length !== asked.length) return false
  return given.every((value, i) => value === Math.abs(asked[i]!))
}

export function tensorBody(seed: number, rows: number): { data: number[]; body: unknown } {
  const data = Array.from({ length: rows }, (_, i) => row(seed, i + (seed % 50))).flat()
  const input = { name: 'x', shape: [rows, COLUMNS], datatype: 'FP32', data }
  return { data, body: { inputs: [input] } }
}
