/** Decisions: how they are defined, asked for, made again, labelled, and what other rules would do. */
import type { Contract } from '../../../client.ts'
import { type Command, command, type Output, UsageError } from '../../command.ts'
import { time } from '../../format.ts'
import { documentGiven, documentIn } from '../../json-document.ts'
import { fields } from '../../table.ts'
import { LIST_OPTIONS, listed } from '../listing.ts'
import {
  backtestText,
  explanationTable,
  fieldsOf,
  madeText,
  scoreText,
  storedText,
} from './texts.ts'

type Definition = Contract['endpoints.apply']['input']['body']

const SOURCE = {
  source: { value: 'name', help: 'who sent the event, if it was not the endpoint' },
} as const

const apply = command({
  words: 'decisions apply',
  takes: ['<endpoint>', '<file>'],
  summary: 'Define how events are decided; a change makes the next version.',
  about: 'The file holds the definition in JSON; "-" reads it from stdin.',
  examples: ['galley decisions apply fraud fraud.json'],
  async run(context, [endpoint, path]) {
    const body = (await documentIn(context, path!)) as Definition
    const galley = await context.galley()
    const input = { params: { endpoint: endpoint! }, body }
    const applied = await galley.request('endpoints.apply', input, { signal: context.signal })
    return { json: applied, text: fields(context.terminal, fieldsOf(applied)) }
  },
})

const list = command({
  words: 'decisions list',
  takes: ['[endpoint]'],
  summary: 'List decision endpoints, or the decisions of one, the newest first.',
  options: LIST_OPTIONS,
  examples: ['galley decisions list', 'galley decisions list fraud --limit 20'],
  run: (context, [endpoint], options) =>
    endpoint === undefined
      ? listed(context, options, {
          name: 'endpoints.list',
          empty: 'No endpoints yet. Define one with: galley decisions apply <endpoint> <file>',
          columns: [
            { title: 'ENDPOINT', of: each => each.name },
            { title: 'VERSION', right: true, of: each => each.version },
            { title: 'EVENTS', of: each => each.definition.event_type },
            { title: 'GATE', of: each => each.definition.gate },
            { title: 'SERVICE', of: each => `${each.service.name}@${each.service.version}` },
            { title: 'MODEL', of: each => each.definition.model?.name ?? '-' },
            { title: 'RULES', right: true, of: each => each.definition.rules.length },
          ],
        })
      : listed(context, options, {
          name: 'decisions.list',
          input: { params: { endpoint } },
          empty: `"${endpoint}" has decided nothing yet.`,
          columns: [
            { title: 'ID', of: each => each.event?.id ?? '?' },
            { title: 'AT', of: each => time(each.at) },
            { title: 'DECISION', of: each => each.outcome?.decision ?? '-' },
            { title: 'SCORE', right: true, of: each => scoreText(each.outcome?.score ?? null) },
            { title: 'LABEL', of: each => String(each.label?.value ?? '-') },
          ],
        }),
})

const show = command({
  words: 'decisions show',
  takes: ['<endpoint>', '[id]'],
  summary: 'Show an endpoint, or one of its decisions by the id of its event.',
  options: SOURCE,
  examples: ['galley decisions show fraud', 'galley decisions show fraud payment-17 --json'],
  async run({ galley: connect, terminal, signal }, [endpoint, id], { source }) {
    const galley = await connect()
    const params = { endpoint: endpoint! }
    if (id === undefined) {
      const found = await galley.request('endpoints.get', { params }, { signal })
      return { json: found, text: fields(terminal, fieldsOf(found)) }
    }
    const found = await galley.request(
      'decisions.find',
      { params, query: { id, source } },
      { signal },
    )
    return { json: found, text: storedText(terminal, found) }
  },
})

const decide = command({
  words: 'decisions decide',
  takes: ['<endpoint>', '<id>', '<data>'],
  summary: 'Have an event decided; asked again with the same id, it is the same decision.',
  about: 'The data of the event is JSON, "@file", or "-" for stdin.',
  options: {
    ...SOURCE,
    time: { value: 'when', help: 'when it happened, in ISO 8601; else now' },
    explain: { help: 'say which features moved the score' },
  },
  examples: [
    `galley decisions decide fraud payment-17 '{"card_id": "c1", "amount": 12.34}'`,
    'galley decisions decide fraud payment-18 @payment.json --explain',
  ],
  async run(context, [endpoint, id, text], { source, time: at, explain }) {
    const data = await documentGiven(context, text!, '<data>')
    const galley = await context.galley()
    const body = { id: id!, source, time: at, data, explain: explain || undefined }
    const input = { params: { endpoint: endpoint! }, body }
    const { signal, terminal } = context
    const made = await galley.request('decisions.decide', input, { signal, repeatable: true })
    const moved = made.explanation?.features ?? []
    const why = moved.length > 0 ? `\n\n${explanationTable(terminal, moved)}` : ''
    const again = made.repeated ? '\nIt was decided before, and is the same.' : ''
    return { json: made, text: madeText(terminal, made) + again + why }
  },
})

const feedback = command({
  words: 'decisions feedback',
  takes: ['<endpoint>', '<id>', '<label>'],
  summary: 'Say how a decision turned out; the last word counts.',
  about: 'A label is true, false, a number, or a word.',
  options: SOURCE,
  examples: ['galley decisions feedback fraud payment-17 true'],
  async run({ galley, terminal, signal }, [endpoint, id, text], { source }) {
    const body = { endpoint: endpoint!, id: id!, source, label: labelOf(text!) }
    const options = { signal, repeatable: true }
    const stored = await (await galley()).request('decisions.feedback', { body }, options)
    return { json: stored, text: storedText(terminal, stored) }
  },
})

const backtest = command({
  words: 'decisions backtest',
  takes: ['<endpoint>', '<file>'],
  summary: 'What another definition would have answered to decisions of the past.',
  about: 'Changes nothing. Scores are taken as they were.',
  options: { limit: { value: 'number', help: 'how many decisions, the newest first (2,000)' } },
  examples: ['galley decisions backtest fraud stricter.json --limit 10000'],
  async run(context, [endpoint, path], { limit }) {
    const definition = (await documentIn(context, path!)) as Definition
    const galley = await context.galley()
    const body = { definition, limit: limit === undefined ? undefined : countOf(limit) }
    const input = { params: { endpoint: endpoint! }, body }
    const { signal, terminal } = context
    const tried = await galley.request('endpoints.backtest', input, { signal })
    return { json: tried, text: backtestText(terminal, tried) }
  },
})

const replay = command({
  words: 'replay',
  takes: ['<endpoint>', '<id>'],
  summary: 'Make a decision again from its events; exit code 1 if any bit of it differs.',
  options: SOURCE,
  examples: ['galley replay fraud payment-17'],
  async run({ galley, terminal, signal }, [endpoint, id], { source }): Promise<Output> {
    const input = { params: { endpoint: endpoint! }, body: { id: id!, source } }
    const again = await (await galley()).request('decisions.replay', input, { signal })
    const text = madeText(terminal, again.replayed)
    if (again.equal) return { json: again, text: `${text}\nThe same, to the last bit.` }
    const failure = `It is not what it was; these differ: ${again.differs.join(', ')}`
    return { json: again, text, failure }
  },
})

export const decisions: Command[] = [apply, list, show, decide, feedback, backtest, replay]

function labelOf(text: string): boolean | number | string {
  if (text === 'true' || text === 'false') return text === 'true'
  return text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : text
}

function countOf(text: string): number {
  const limit = Number(text)
  if (Number.isSafeInteger(limit) && limit >= 1) return limit
  throw new UsageError(`--limit takes a number from 1 up, not "${text}".`)
}
