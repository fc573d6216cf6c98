/** What a model is served with besides being run. */
import type { Contract } from '../../../client.ts'
import { command, UsageError } from '../../command.ts'
import { bytes, pair, seconds, time } from '../../format.ts'
import { fields } from '../../table.ts'
import type { Terminal } from '../../terminal.ts'

type Shown = Contract['models.serving']['reply']

export const serving = command({
  words: 'models serving',
  takes: ['<model>'],
  summary: 'Show or change what a model is served with: a cache of its answers, a log of a sample.',
  about:
    'Without options it shows what is set. An option changes its own part alone; "off" ends it.\nA cached answer is the model’s own for the same tensors; it has a receipt of the kind "cached".',
  options: {
    cache: { value: 'time', help: 'keep answers for so long, such as 60s; or off' },
    'cache-bytes': { value: 'bytes', help: 'of all answers of the model, in each edge process' },
    log: { value: 'share', help: 'keep this share of requests and answers, such as 0.1; or off' },
    'log-days': { value: 'days', help: 'for so long (30)' },
    'log-subject': {
      value: 'entity=parameter',
      help: 'whom a request is about: whose key stands in this parameter of it',
    },
  },
  examples: [
    'galley models serving iris',
    'galley models serving iris --cache 10m --cache-bytes 4000000',
    'galley models serving iris --cache off',
    'galley models serving iris --log 0.1 --log-days 90 --log-subject card=card_id',
  ],
  async run({ galley, terminal, signal }, [model], options) {
    const api = await galley()
    const params = { model: model! }
    const found = await api.request('models.serving', { params }, { signal })
    if (Object.values(options).every(value => value === undefined)) {
      return { json: found, text: shownAs(terminal, found) }
    }
    const body = { cache: cacheOf(found, options), inference_log: logOf(found, options) }
    const changed = await api.request('models.change_serving', { params, body }, { signal })
    return { json: changed, text: shownAs(terminal, changed) }
  },
})

function cacheOf(
  { cache }: Shown,
  {
    cache: time,
    'cache-bytes': size,
  }: { cache: string | undefined; 'cache-bytes': string | undefined },
) {
  if (time === 'off') return null
  if (time === undefined && size === undefined) return cache
  const ttl = time === undefined ? cache?.ttl_s : seconds('--cache', time)
  if (ttl === undefined) throw new UsageError('--cache-bytes needs --cache: for how long?')
  if (size === undefined) return { ttl_s: ttl, ...(cache && { bytes_max: cache.bytes_max }) }
  if (/^\d{1,12}$/.test(size)) return { ttl_s: ttl, bytes_max: Number(size) }
  throw new UsageError(`--cache-bytes takes a number of bytes, not "${size}".`)
}

type LogOptions = Record<'log' | 'log-days' | 'log-subject', string | undefined>

function logOf({ inference_log: was }: Shown, options: LogOptions) {
  const { log: share, 'log-days': days, 'log-subject': about } = options
  if (share === 'off') return null
  const sample = share === undefined ? was?.sample : Number(share)
  if (sample === undefined) {
    if (days === undefined && about === undefined) return null
    throw new UsageError('--log-days and --log-subject need --log: which share of requests?')
  }
  if (!(sample > 0 && sample <= 1)) {
    throw new UsageError(`--log takes a share above 0 and up to 1, or off, not "${share}".`)
  }
  if (days !== undefined && !/^[1-9]\d{0,3}$/.test(days)) {
    throw new UsageError(`--log-days takes a number of days, not "${days}".`)
  }
  const [entity, parameter] = about === undefined ? [] : pair('--log-subject', about)
  const subject = entity === undefined ? was?.subject : { entity, parameter: parameter! }
  const retention = days === undefined ? was?.retention_days : Number(days)
  return { sample, retention_days: retention, ...(subject && { subject }) }
}

function shownAs(
  terminal: Terminal,
  { model, cache, inference_log: log, changed_at }: Shown,
): string {
  return fields(terminal, {
    model,
    cache: cache ? `${cache.ttl_s} s, ${bytes(cache.bytes_max)} in each edge process` : 'off',
    log: log ? `${log.sample * 100} % for ${log.retention_days} days` : 'off',
    subject: log?.subject && `${log.subject.entity}, by the parameter ${log.subject.parameter}`,
    changed: changed_at === null ? undefined : time(changed_at),
  })
}
