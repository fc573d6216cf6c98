/** How a version comes to serve: tried beside the one that does, let serve, taken back; and the log of it. */
import type { Item, Reply } from '../../../client.ts'
import { type Command, command, modelRef, type Option, UsageError } from '../../command.ts'
import { time } from '../../format.ts'
import type { Column } from '../../table.ts'
import { LIST_OPTIONS, listed } from '../listing.ts'
import { reportText } from './report.ts'

type Switch = Item<'models.switches'>

const ALIAS: Option & { value: string } = { value: 'alias', help: 'which alias (champion)' }
const GUARD = {
  'requests-min': { value: 'number', help: 'of each version, before anything is judged (100)' },
  'errors-max': { value: 'share|off', help: 'share that may fail above the other’s (0.02)' },
  'latency-ratio-max': { value: 'ratio|off', help: 'p95 latency over the other’s (2)' },
  'shift-max': {
    value: 'number|off',
    help: 'canary: shift of the mean output, in deviations (0.5)',
  },
  'rows-differing-max': { value: 'share|off', help: 'shadow: share of rows that may differ (off)' },
} satisfies Record<string, Option>

const rollout = command({
  words: 'models rollout',
  takes: ['<model[@version]>'],
  summary: 'Try a version beside the one that serves; without a version, show how it goes.',
  about:
    'A canary answers a share of the requests: those whose header galley-sticky-key falls into it. A shadow answers none; its answers are compared. Either is rolled back by itself when a guard is broken.',
  options: {
    percent: { value: 'number', help: 'share of the requests (10; of a shadow 100)' },
    shadow: { help: 'compare its answers, and give them to nobody' },
    alias: ALIAS,
    absolute: { value: 'number', help: 'shadow: distance at which values differ (0.00001)' },
    relative: { value: 'number', help: 'shadow: the same as a share of the value (0.0001)' },
    ...GUARD,
  },
  examples: [
    'galley models rollout iris@4 --percent 5',
    'galley models rollout iris@4 --shadow --rows-differing-max 0.01',
    'galley models rollout iris',
  ],
  async run({ galley, terminal, signal }, [ref], options) {
    const { model, version: named } = modelRef(ref!)
    const api = await galley()
    const params = { model }
    if (named === undefined) {
      const found = await api.request('models.rollout_report', { params }, { signal })
      return { json: found, text: reportText(terminal, found) }
    }
    const version = /^\d+$/.test(named)
      ? Number(named)
      : (await api.request('models.version', { params: { model, version: named } }, { signal }))
          .version
    const guard = Object.fromEntries(
      Object.keys(GUARD).flatMap(name => {
        const value = numberOf(name, options[name as keyof typeof GUARD], name !== 'requests-min')
        return value === undefined ? [] : [[name.replaceAll('-', '_'), value]]
      }),
    )
    const body = {
      version,
      mode: options.shadow ? ('shadow' as const) : ('canary' as const),
      percent: (numberOf('percent', options.percent) ?? (options.shadow ? 100 : 10)) as number,
      ...(options.alias && { alias: options.alias }),
      tolerance: {
        absolute: numberOf('absolute', options.absolute) as number | undefined,
        relative: numberOf('relative', options.relative) as number | undefined,
      },
      guard,
    }
    const made = await api.request('models.rollout', { params, body }, { signal })
    return { json: made, text: begunText(made) }
  },
})

const promote = command({
  words: 'models promote',
  takes: ['<model>'],
  summary: 'Let the version that is tried serve.',
  examples: ['galley models promote iris'],
  async run({ galley, signal }, [model]) {
    const input = { params: { model: model! } }
    const made = await (await galley()).request('models.promote', input, { signal })
    const { alias, from, to } = made.switch
    return { json: made, text: `${model}@${alias} is version ${to} now; it was ${from}.` }
  },
})

const rollback = command({
  words: 'models rollback',
  takes: ['<model>'],
  summary: 'End what is tried; when nothing is, let the version before serve again.',
  options: { alias: ALIAS },
  examples: ['galley models rollback iris'],
  async run({ galley, signal }, [model], { alias: named }) {
    const input = { params: { model: model! }, body: named ? { alias: named } : {} }
    const made = await (await galley()).request('models.rollback', input, { signal })
    const { alias, from, to } = made.switch
    return { json: made, text: `${model}@${alias} is version ${to}; ${from} is taken back.` }
  },
})

const COLUMNS: Column<Switch>[] = [
  { title: 'AT', of: row => time(row.at) },
  { title: 'ALIAS', of: row => row.alias },
  { title: 'KIND', of: row => row.kind },
  { title: 'FROM', right: true, of: row => row.from ?? '-' },
  { title: 'TO', right: true, of: row => row.to ?? '-' },
  { title: 'OUTCOME', of: row => row.outcome },
  { title: 'ANSWERED', right: true, of: answered },
  { title: 'DROPPED', right: true, of: row => row.dropped ?? '-' },
  { title: 'MIXED', right: true, of: row => row.mixed ?? '-' },
  { title: 'BY', of: row => row.actor },
  { title: 'WHY', of: row => row.reason ?? '' },
]

const switches = command({
  words: 'models switches',
  takes: ['<model>'],
  summary: 'List what served when, with what became of the requests around each switch.',
  about:
    'ANSWERED counts, for ten seconds after a switch, what the version before and the new one answered.',
  options: LIST_OPTIONS,
  examples: ['galley models switches iris'],
  run: (context, [model], options) =>
    listed(context, options, {
      name: 'models.switches',
      input: { params: { model: model! } },
      empty: `Nothing was switched yet. Point an alias with: galley models alias ${model}@1 champion`,
      columns: COLUMNS,
    }),
})

export const rollouts: Command[] = [rollout, promote, rollback, switches]

function answered(row: Switch): string {
  return row.answered_to === null ? '-' : `${row.answered_from} + ${row.answered_to}`
}

function begunText({ model, alias, from, version, mode, percent }: Reply<'models.rollout'>) {
  const does = mode === 'canary' ? `answers ${percent} % of` : `runs beside ${percent} % of`
  return `Version ${version} ${does} what asks for ${model}@${alias}, which is version ${from}. See how it goes with: galley models rollout ${model}`
}

function numberOf(name: string, text: string | undefined, mayBeOff = false) {
  if (text === undefined) return undefined
  if (mayBeOff && text === 'off') return null
  const value = Number(text)
  if (text !== '' && Number.isFinite(value)) return value
  throw new UsageError(`--${name} takes a number${mayBeOff ? ' or "off"' : ''}, not "${text}".`)
}
