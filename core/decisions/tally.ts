/** What a backtest found, counted where decisions are judged again: by the functions, or where a model is asked. */
import type { Named } from './named.ts'

export type Skip = 'unanswered' | 'other_features' | 'other_model'
/** A decision of the past; `from` is what it was answered. */
export type Past = { source: string; id: string; from: string; label: string | null }
/** One that a model must be asked about first. */
export type Unscored = Past & { values: Named }
type Change = { from: string; to: string; count: number; labels: Record<string, number> }
type Example = { source: string; id: string; from: string; to: string; score: number | null }
export type Tried = {
  decisions: number
  compared: number
  changed: number
  skipped: Record<Skip, number>
  answers: Change[]
  examples: Example[]
}

const EXAMPLES_MAX = 20

export class Tally {
  readonly #skipped: Record<Skip, number> = { unanswered: 0, other_features: 0, other_model: 0 }
  readonly #changes = new Map<string, Change>()
  readonly #examples: Example[] = []

  constructor(before?: Tried) {
    if (!before) return
    this.#skipped = { ...before.skipped }
    this.#examples = [...before.examples]
    for (const change of before.answers) this.#changes.set(keyOf(change), { ...change })
  }

  skip(why: Skip): void {
    this.#skipped[why]++
  }

  count({ source, id, from, label }: Past, to: string, score: number | null): void {
    const key = keyOf({ from, to })
    const change = this.#changes.get(key) ?? { from, to, count: 0, labels: {} }
    this.#changes.set(key, change)
    change.count++
    if (label !== null) {
      const counted = Object.hasOwn(change.labels, label) ? change.labels[label]! : 0
      change.labels = { ...change.labels, [label]: counted + 1 }
    }
    if (from !== to && this.#examples.length < EXAMPLES_MAX) {
      this.#examples.push({ source, id, from, to, score })
    }
  }

  result(): Tried {
    const answers = [...this.#changes.values()].sort((a, b) => b.count - a.count)
    const sum = (changes: Change[]) => changes.reduce((total, { count }) => total + count, 0)
    const compared = sum(answers)
    const left = Object.values(this.#skipped).reduce((total, count) => total + count, 0)
    return {
      decisions: compared + left,
      compared,
      changed: sum(answers.filter(({ from, to }) => from !== to)),
      skipped: this.#skipped,
      answers,
      examples: this.#examples,
    }
  }
}

function keyOf({ from, to }: { from: string; to: string }): string {
  return JSON.stringify([from, to])
}
