/** What a rollout saw, for people: two versions side by side. */
import type { Reply } from '../../../client.ts'
import { count, time } from '../../format.ts'
import { fields, table } from '../../table.ts'
import type { Terminal } from '../../terminal.ts'

type Rollout = Reply<'models.rollout_report'>
type Row = { what: string; stable: string; candidate: string }

export function reportText(terminal: Terminal, rollout: Rollout): string {
  const { report, mode } = rollout
  const head = fields(terminal, {
    rollout: `${mode} of ${rollout.model}@${rollout.version} beside ${rollout.alias} (${rollout.from})`,
    state: rollout.state.replace('_', ' '),
    why: rollout.reason ?? undefined,
    share: `${rollout.percent} %`,
    since: time(rollout.created_at),
    ended: rollout.ended_at === null ? undefined : time(rollout.ended_at),
  })
  const sides = table<Row>(
    terminal,
    [
      { title: '', of: row => row.what },
      { title: `VERSION ${rollout.from}`, right: true, of: row => row.stable },
      { title: `VERSION ${rollout.version}`, right: true, of: row => row.candidate },
    ],
    rows(rollout),
  )
  const differences = mode === 'shadow' ? [compared(terminal, report)] : []
  return [head, sides, ...differences].join('\n\n')
}

function rows({ report }: Rollout): Row[] {
  const { stable, candidate, shift } = report
  const row = (what: string, of: (side: typeof stable) => string) => ({
    what,
    stable: of(stable),
    candidate: of(candidate),
  })
  return [
    row('requests', side => count(side.requests)),
    row('failed', side => count(side.errors)),
    row('p50 latency', side => ms(side.p50_ms)),
    row('p95 latency', side => ms(side.p95_ms)),
    row('engine time a request', side => us(side.compute_us_mean)),
    ...outputsOf(stable, candidate).map(name =>
      row(`mean of ${name}`, side => short(side.outputs[name]?.mean ?? null)),
    ),
    ...Object.entries(shift).map(([name, value]) => ({
      what: `shift of ${name}`,
      stable: '',
      candidate: `${short(value)} σ`,
    })),
  ]
}

function outputsOf(...sides: { outputs: object }[]): string[] {
  return [...new Set(sides.flatMap(({ outputs }) => Object.keys(outputs)))]
}

function compared(terminal: Terminal, { compared, skipped }: Rollout['report']): string {
  const share = compared.share_differing
  const head = fields(terminal, {
    compared: `${count(compared.requests)} requests, ${count(compared.rows)} rows`,
    differing:
      share === null ? '-' : `${count(compared.rows_differing)} rows, ${short(100 * share)} %`,
    'left out': skipped === 0 ? undefined : `${count(skipped)} requests, as many were under way`,
  })
  const tensors = Object.entries(compared.tensors)
  if (tensors.length === 0) return head
  const lines = table(
    terminal,
    [
      { title: 'TENSOR', of: ([name]) => name },
      { title: 'MAX |Δ|', right: true, of: ([, { max_abs_diff }]) => short(max_abs_diff) },
      { title: 'ROWS DIFFERING', right: true, of: ([, found]) => count(found.rows_differing) },
    ],
    tensors,
  )
  return `${head}\n\n${lines}`
}

const short = (value: number | null) =>
  value === null ? '-' : String(Number(value.toPrecision(4)))
const ms = (value: number | null) => (value === null ? '-' : `${short(value)} ms`)
const us = (value: number | null) => (value === null ? '-' : `${short(value)} µs`)
