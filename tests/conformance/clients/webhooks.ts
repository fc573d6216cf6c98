/** Those who sign sign: Standard Webhooks', Stripe's and GitHub's own packages; what they sign is taken, once. */
import { randomBytes } from 'node:crypto'
import { sign as signByGithub } from '@octokit/webhooks-methods'
import { Webhook } from 'standardwebhooks'
import { Stripe } from 'stripe'
import type { Product } from '../../../bench/product.ts'
import { ask, logged, mustEqual } from './scene.ts'
import type { Tally } from './tally.ts'

type Scheme = 'standard-webhooks' | 'stripe' | 'github'
type Signed = { headers: Record<string, string>; body: string }
type Signer = {
  scheme: Scheme
  /** Signs a payment as the sender would: with an id of its own, at a time. */
  sign(secret: string, id: string, atMs: number): Promise<Signed>
  secret(): string
  rule: object
  /** Whether the time is signed, and so a replay is known by it. */
  isTimed: boolean
}

const TYPE = {
  fields: { card: { type: 'string' }, amount: { type: 'int' } },
  entities: { card: 'card' },
}
const OLD_MS = 301_000
const { webhooks } = new Stripe('sk_test_none')

const SIGNERS: Signer[] = [
  {
    scheme: 'standard-webhooks',
    isTimed: true,
    secret: () => `whsec_${randomBytes(24).toString('base64')}`,
    rule: { type: 'hooks.payment' },
    async sign(secret, id, atMs) {
      const at = new Date(atMs)
      const data = { card: 'card_1', amount: 1250 }
      const body = JSON.stringify({ type: 'payment', timestamp: '2026-01-02T03:04:05Z', data })
      const headers = {
        'webhook-id': id,
        'webhook-timestamp': String(Math.floor(atMs / 1_000)),
        'webhook-signature': new Webhook(secret).sign(id, at, body),
      }
      return { headers, body }
    },
  },
  {
    scheme: 'stripe',
    isTimed: true,
    secret: () => `whsec_${randomBytes(16).toString('hex')}`,
    rule: { type: 'hooks.payment', fields: { card: '/data/object/payment_method' } },
    async sign(secret, id, atMs) {
      const object = { object: 'charge', amount: 1250, payment_method: 'card_1', currency: 'chf' }
      const payload = JSON.stringify(
        { id, object: 'event', type: 'charge.succeeded', created: 1_767_323_045, data: { object } },
        null,
        2,
      )
      const timestamp = Math.floor(atMs / 1_000)
      const signature = webhooks.generateTestHeaderString({ payload, secret, timestamp })
      return { headers: { 'stripe-signature': signature }, body: payload }
    },
  },
  {
    scheme: 'github',
    isTimed: false,
    secret: () => randomBytes(20).toString('hex'),
    rule: { type: 'hooks.payment', fields: { card: '/sender/login', amount: '/tier/cents' } },
    async sign(secret, id) {
      const body = JSON.stringify({
        action: 'created',
        sender: { login: 'card_1' },
        tier: { cents: 1250 },
      })
      const headers = {
        'x-github-event': 'sponsorship',
        'x-github-delivery': id,
        'x-hub-signature-256': await signByGithub(secret, body),
      }
      return { headers, body }
    },
  },
]

export async function hooksBySigners(product: Product, tally: Tally): Promise<void> {
  await ask(product, 'PUT', '/v1/event-types/hooks.payment', TYPE)
  for (const signer of SIGNERS) await casesOf(product, tally, signer)
}

async function casesOf(product: Product, tally: Tally, signer: Signer): Promise<void> {
  const { scheme, rule, isTimed } = signer
  const source = `by-${scheme}`
  const [first, second] = [signer.secret(), signer.secret()]
  const declared = { scheme, events: { '*': rule }, secrets: { first } }
  const { path } = await ask<{ path: string }>(
    product,
    'PUT',
    `/v1/hook-sources/${source}`,
    declared,
  )
  const run = Date.now()
  const idOf = (name: string) => `${name}-${run}`
  const post = ({ headers, body }: Signed) => posted(product.url + path, headers, body)
  const signed = (name: string, { secret = first, at = Date.now() } = {}) =>
    signer.sign(secret, idOf(name), at)
  const mustBe = async (sent: Signed, status: number) => mustEqual(await post(sent), status)

  await tally.case(
    `${scheme}: what its package signs becomes the event that it tells of`,
    async () => {
      await mustBe(await signed('one'), 202)
      const { data, time } = await logged(product, `/hooks/${source}`, idOf('one'))
      mustEqual(data, { card: 'card_1', amount: 1250 })
      if (isTimed) mustEqual(time, '2026-01-02T03:04:05Z')
    },
  )
  await tally.case(`${scheme}: signed anew and sent again, it is the same event`, async () => {
    for (const ago of [0, 60_000, 120_000]) {
      await mustBe(await signed('again', { at: Date.now() - ago }), 202)
    }
    await logged(product, `/hooks/${source}`, idOf('again'))
    mustEqual(await timesOf(product, idOf('again')), 1)
  })
  if (isTimed) {
    await tally.case(`${scheme}: a replay after five minutes is refused`, async () => {
      await mustBe(await signed('late', { at: Date.now() - OLD_MS }), 401)
      await mustBe(await signed('early', { at: Date.now() + OLD_MS }), 401)
    })
  } else {
    tally.leaveOut(
      `${scheme}: a replay after five minutes`,
      'it signs no time; docs/design/hooks.md',
    )
  }
  await tally.case(`${scheme}: another endpoint's secret is refused`, async () => {
    await mustBe(await signed('foreign', { secret: second }), 401)
  })
  await tally.case(`${scheme}: a body that was written anew is refused`, async () => {
    const sent = await signed('reserialised')
    const body = JSON.stringify(JSON.parse(sent.body), null, 4)
    await mustBe({ ...sent, body }, 401)
  })
  await tally.case(
    `${scheme}: while the secret changes both are taken, then the new one alone`,
    async () => {
      const secrets = `/v1/hook-sources/${source}/secrets`
      await ask(product, 'PUT', `${secrets}/second`, { secret: second })
      await mustBe(await signed('rotated-old'), 202)
      await mustBe(await signed('rotated-new', { secret: second }), 202)
      await ask(product, 'DELETE', `${secrets}/first`)
      await mustBe(await signed('rotated-past'), 401)
      await mustBe(await signed('rotated-done', { secret: second }), 202)
    },
  )
  if (scheme === 'standard-webhooks') {
    await tally.case(`${scheme}: an id with a point in it is refused`, async () => {
      const sent = await signer.sign(second, 'a.b', Date.now())
      await mustBe(sent, 401)
    })
  }
}

async function posted(url: string, headers: Record<string, string>, body: string): Promise<number> {
  const json = { 'content-type': 'application/json', ...headers }
  const response = await fetch(url, { method: 'POST', headers: json, body })
  await response.arrayBuffer()
  return response.status
}

/** How often an id stands in the log. */
async function timesOf(product: Product, id: string): Promise<number> {
  const path = '/v1/events?type=hooks.payment&limit=1000'
  const { data } = await ask<{ data: { id: string }[] }>(product, 'GET', path)
  return data.filter(each => each.id === id).length
}
