/** Decisions as people read them. */
import type { Reply } from '../../../client.ts'
import { count, time } from '../../format.ts'
import { fields, table } from '../../table.ts'
import type { Terminal } from '../../terminal.ts'

type Endpoint = Reply<'endpoints.get'>
type Stored = Reply<'decisions.find'>
type Made = Pick<Reply<'decisions.decide'>, 'decision' | 'score' | 'reasons' | 'model' | 'features'>

export function fieldsOf({ name, version, definition, service, hash, created_at }: Endpoint) {
  const { model } = definition
  return {
    endpoint: `${name}@${version}`,
    events: definition.event_type,
    gate: definition.gate,
    service: `${service.name}@${service.version}`,
    model: model && `${model.name}${model.version === undefined ? '' : `@${model.version}`}`,
    rules: definition.rules.map(rule => rule.name).join(', ') || undefined,
    otherwise: definition.otherwise,
    hash: hash.slice(0, 12),
    created: time(created_at),
  }
}

export function madeText(
  terminal: Terminal,
  { decision, score, reasons, model, features }: Made,
): string {
  const because = reasons.map(({ rule }) => rule).join(', ')
  return fields(terminal, {
    decision,
    score: score === null ? undefined : scoreText(score),
    because: because || undefined,
    model: model ? `${model.name}@${model.version}` : undefined,
    ...Object.fromEntries(Object.entries(features).map(([name, value]) => [name, String(value)])),
  })
}

export function storedText(terminal: Terminal, { outcome, label, at }: Stored): string {
  const made = outcome ? madeText(terminal, outcome) : 'It was applied, and not answered.'
  const more = { at: time(at), label: label ? String(label.value) : undefined }
  return `${made}\n${fields(terminal, more)}`
}

type Moved = NonNullable<Reply<'decisions.decide'>['explanation']>['features'][number]

export function explanationTable(terminal: Terminal, moved: Moved[]): string {
  const columns = [
    { title: 'FEATURE', of: (each: Moved) => each.feature },
    { title: 'VALUE', right: true, of: (each: Moved) => scoreText(each.value) },
    { title: 'WITHOUT', right: true, of: (each: Moved) => scoreText(each.replaced_by) },
    { title: 'SCORE', right: true, of: (each: Moved) => signed(each.change) },
  ]
  return table(terminal, columns, moved)
}

type Change = Reply<'endpoints.backtest'>['answers'][number]

export function backtestText(terminal: Terminal, tried: Reply<'endpoints.backtest'>): string {
  const columns = [
    { title: 'WAS', of: (each: Change) => each.from },
    { title: 'WOULD BE', of: (each: Change) => each.to },
    { title: 'DECISIONS', right: true, of: (each: Change) => count(each.count) },
    { title: 'LABELS', of: (each: Change) => labelsText(each.labels) },
  ]
  const left = Object.entries(tried.skipped).filter(([, skipped]) => skipped > 0)
  const why = left.map(([reason, skipped]) => `${count(skipped)} ${reason.replace('_', ' ')}`)
  const summary = `${count(tried.changed)} of ${count(tried.compared)} would be answered otherwise.`
  const rest = why.length > 0 ? ` Not compared: ${why.join(', ')}.` : ''
  return tried.compared === 0
    ? `Nothing to compare with.${rest}`
    : `${table(terminal, columns, tried.answers)}\n${summary}${rest}`
}

function labelsText(labels: Record<string, number>): string {
  const each = Object.entries(labels).map(([label, of]) => `${label}: ${count(of)}`)
  return each.join(', ') || '-'
}

export const scoreText = (score: number | null) =>
  score === null ? '-' : String(Number(score.toPrecision(6)))
const signed = (change: number) => `${change < 0 ? '' : '+'}${scoreText(change)}`
