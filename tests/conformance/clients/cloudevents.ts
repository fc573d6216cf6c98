/** The CNCF's JavaScript client of CloudEvents sends: in the binary, the structured and the batched form. */
import { CloudEvent, emitterFor, HTTP, httpTransport, Mode } from 'cloudevents'
import type { Product } from '../../../bench/product.ts'
import { ask, logged, mustEqual } from './scene.ts'
import type { Tally } from './tally.ts'

const TYPE = {
  fields: {
    card: { type: 'string' },
    amount: { type: 'decimal', scale: 2 },
    paid: { type: 'bool', optional: true },
    at: { type: 'time', optional: true },
  },
  entities: { card: 'card' },
}
const SOURCE = '/shop/till-1'
const BATCH = 'application/cloudevents-batch+json; charset=utf-8'

type Reply = { accepted?: number; duplicates?: number; code?: string; detail?: string }

export async function eventsByCloudEvents(product: Product, tally: Tally): Promise<void> {
  const run = `${Date.now()}`
  const authorization = `Bearer ${product.key}`
  const send = httpTransport(`${product.url}/v1/events`)
  const waiting = httpTransport(`${product.url}/v1/events?wait=true`)
  const event = (id: string, more: object = {}) =>
    new CloudEvent({
      id: `${run}-${id}`,
      source: SOURCE,
      type: 'shop.payment',
      time: '2026-02-03T04:05:06.789Z',
      data: { card: 'c1', amount: 12.34 },
      ...more,
    })
  const emit = async (mode: Mode, each: CloudEvent<unknown>, to = send) => {
    const emitted = await emitterFor(to, { mode })(each, { headers: { authorization } })
    return replyOf(emitted)
  }
  const emitBatch = async (events: CloudEvent<unknown>[], to = send) =>
    replyOf(
      await to(
        { headers: { 'content-type': BATCH }, body: JSON.stringify(events) },
        { headers: { authorization } },
      ),
    )
  await ask(product, 'PUT', '/v1/event-types/shop.payment', TYPE)

  for (const [form, mode] of [
    ['binary', Mode.BINARY],
    ['structured', Mode.STRUCTURED],
  ] as const) {
    await tally.case(`cloudevents: ${form}: what is sent is logged as it was said`, async () => {
      const data = { card: `card of ${form}`, amount: 0.07, paid: true, at: '2026-01-02T03:04:05Z' }
      const sent = event(form, { data })
      mustEqual((await emit(mode, sent)).accepted, 1)
      const found = await logged(product, SOURCE, sent.id)
      mustEqual([found.type, found.time, found.data], [sent.type, sent.time, data])
    })

    await tally.case(
      `cloudevents: ${form}: attributes and extensions that mean nothing here are let be`,
      async () => {
        const sent = event(`${form}-more`, {
          subject: 'order 7',
          dataschema: 'https://example.com/payment.json',
          datacontenttype: 'application/json',
          traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
          priority: 7,
        })
        mustEqual((await emit(mode, sent)).accepted, 1)
        mustEqual((await logged(product, SOURCE, sent.id)).data, {
          card: 'c1',
          amount: 12.34,
          paid: null,
          at: null,
        })
      },
    )

    await tally.case(`cloudevents: ${form}: sent twice is one event`, async () => {
      const sent = event(`${form}-twice`)
      mustEqual((await emit(mode, sent, waiting)).accepted, 1)
      const { accepted, duplicates } = await emit(mode, sent, waiting)
      mustEqual([accepted, duplicates], [0, 1])
    })

    await tally.case(`cloudevents: ${form}: another body by its name is a conflict`, async () => {
      const sent = event(`${form}-other`)
      await emit(mode, sent, waiting)
      const other = sent.cloneWith({ data: { card: 'c2', amount: 1 } })
      mustEqual((await emit(mode, other, waiting)).code, 'event_conflict')
    })

    await tally.case(
      `cloudevents: ${form}: what does not fit its contract is refused, with where`,
      async () => {
        const { code, detail } = await emit(
          mode,
          event(`${form}-bad`, { data: { card: 'c1', amount: 1.005 } }),
        )
        mustEqual([code, detail?.slice(0, 12)], ['invalid_event', '/data/amount'])
      },
    )
  }

  await tally.case('cloudevents: the three forms of one event are one event', async () => {
    const sent = event('forms')
    mustEqual((await emit(Mode.BINARY, sent, waiting)).accepted, 1)
    mustEqual((await emit(Mode.STRUCTURED, sent, waiting)).duplicates, 1)
    mustEqual((await emitBatch([sent], waiting)).duplicates, 1)
  })

  await tally.case('cloudevents: batched: all of them are taken', async () => {
    const sent = Array.from({ length: 100 }, (_, i) => event(`batch-${i}`))
    mustEqual((await emitBatch(sent)).accepted, 100)
    await Promise.all(sent.map(({ id }) => logged(product, SOURCE, id)))
  })

  await tally.case('cloudevents: batched: none is taken when one does not fit', async () => {
    const good = event('batch-good')
    const { code, detail } = await emitBatch([good, event('batch-bad', { data: { card: 'c1' } })])
    mustEqual([code, detail?.slice(0, 14)], ['invalid_event', '/1/data/amount'])
    mustEqual((await emitBatch([good], waiting)).accepted, 1)
  })

  await tally.case('cloudevents: structured: JSON as bytes (data_base64) is its data', async () => {
    const bytes = new Uint8Array(Buffer.from('{"card":"bytes","amount":3}'))
    const sent = event('bytes', { data: bytes, datacontenttype: 'application/json' })
    mustEqual((await emit(Mode.STRUCTURED, sent)).accepted, 1)
    mustEqual((await logged(product, SOURCE, sent.id)).data.card, 'bytes')
  })

  await tally.case(
    'cloudevents: what its own parser makes of a message is what is logged',
    async () => {
      const message = HTTP.structured(event('parsed', { data: { card: 'naïve €', amount: 5 } }))
      const read = HTTP.toEvent<{ card: string }>(message) as CloudEvent<{ card: string }>
      replyOf(await send(message, { headers: { authorization } }))
      mustEqual((await logged(product, read.source, read.id)).data.card, read.data?.card)
    },
  )

  tally.leaveOut(
    'cloudevents: attributes beyond Latin-1 in the binary form',
    'cloudevents 10.0.0 does not percent-encode them (HTTP protocol binding §3.1.3.2), and Node refuses to send such a header',
  )
  tally.leaveOut(
    'cloudevents: data that are not JSON',
    'events are held against a contract of fields; 415 and 422 say so',
  )
}

/** The client's transport does not tell statuses. */
function replyOf(emitted: unknown): Reply {
  return JSON.parse((emitted as { body: string }).body) as Reply
}
