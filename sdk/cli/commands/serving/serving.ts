/** What a model is served with besides being run. */
import type { Contract } from '../../../client.ts'
import { command, UsageError } from '../../command.ts'
import { bytes, seconds, time } from '../../format.ts'
import { fields } from '../../table.ts'
import type { Terminal } from '../../terminal.ts'

type Shown = Contract['models.serving']['reply']

export const serving = command({
  words: 'models serving',
  takes: ['<model>'],
  summary: 'Show or change what a model is served with: a cache of its answers.',
  about:
    'Without options it shows what is set. An option changes its own part alone; "off" ends it.\nA cached answer is the model’s own for the same tensors; it has a receipt of the kind "cached".',
  options: {
    cache: { value: 'time', help: 'keep answers for so long, such as 60s; or off' },
    'cache-bytes': { value: 'bytes', help: 'of all answers of the model, in each edge process' },
  },
  examples: [
    'galley models serving iris',
    'galley models serving iris --cache 10m --cache-bytes 4000000',
    'galley models serving iris --cache off',
  ],
  async run({ galley, terminal, signal }, [model], options) {
    const api = await galley()
    const params = { model: model! }
    const found = await api.request('models.serving', { params }, { signal })
    if (Object.values(options).every(value => value === undefined)) {
      return { json: found, text: shownAs(terminal, found) }
    }
    const body = { cache: cacheOf(found, options) }
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

function shownAs(terminal: Terminal, { model, cache, changed_at }: Shown): string {
  return fields(terminal, {
    model,
    cache: cache ? `${cache.ttl_s} s, ${bytes(cache.bytes_max)} in each edge process` : 'off',
    changed: changed_at === null ? undefined : time(changed_at),
  })
}
