/** Webhooks in the running product: believed by their signature alone, once, and by no other way. */
import { execFile } from 'node:child_process'
import { createHmac, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newId } from '#schemas/ids.ts'
import { newTenant, ok, type Problem, refused, type Tenant } from '../actions.ts'
import { api, product } from '../product.ts'

type Source = { path: string; secrets: { name: string }[] }
type Shown = { id: string; source: string; time: string; data: object }
type Answer = { status: number; body: Problem & { accepted: number; ignored?: string } }

const TYPE = {
  fields: { card: { type: 'string' }, amount: { type: 'int', min: 0 } },
  entities: { card: 'card' },
}
const CHARGE = { type: 'payment', fields: { card: '/data/object/source/id' } }
const WHSEC = `whsec_${randomBytes(24).toString('base64')}`
const now = () => Math.floor(Date.now() / 1_000)
const ENTRY = fileURLToPath(new URL('../../../sdk/cli/galley.ts', import.meta.url))
const home = mkdtempSync(join(tmpdir(), 'galley-hooks-e2e-'))
afterAll(() => rmSync(home, { recursive: true, force: true }))
const mac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text)

let tenant: Tenant
let key = ''
let sources: Record<'stripe' | 'github' | 'standard', Source>

beforeAll(async () => {
  tenant = await newTenant()
  key = tenant.key
  await ok('PUT', '/v1/event-types/payment', TYPE, { key })
  const declare = (name: string, body: object) =>
    ok<Source>('PUT', `/v1/hook-sources/${name}`, body, { key })
  sources = {
    stripe: await declare('stripe', {
      scheme: 'stripe',
      events: { 'charge.succeeded': CHARGE },
      secrets: { first: 'whsec_stripe' },
    }),
    github: await declare('github', {
      scheme: 'github',
      events: { sponsorship: { type: 'payment', fields: { card: '/sponsor/login' } } },
      secrets: { first: 'a word of ours' },
    }),
    standard: await declare('standard', {
      scheme: 'standard-webhooks',
      events: { '*': { type: 'payment' } },
      secrets: { first: WHSEC },
    }),
  }
})

async function galley(...args: string[]): Promise<string> {
  const env = { XDG_CONFIG_HOME: home, GALLEY_URL: (await product()).url, GALLEY_KEY: key }
  return new Promise((resolve, reject) =>
    execFile(process.execPath, [ENTRY, ...args], { cwd: home, env }, (error, text, err) =>
      error ? reject(new Error(err)) : resolve(text),
    ),
  )
}

async function post(path: string, headers: Record<string, string>, body: string): Promise<Answer> {
  const { url } = await product()
  const json = { 'content-type': 'application/json', ...headers }
  const reply = await fetch(url + path, { method: 'POST', headers: json, body })
  return { status: reply.status, body: (await reply.json()) as Answer['body'] }
}

const charge = (id: string, more: object = {}) =>
  JSON.stringify({
    id,
    type: 'charge.succeeded',
    created: 1_767_225_600,
    data: { object: { amount: 1250, source: { id: 'card_9' } } },
    ...more,
  })
function fromStripe(body: string, { secret = 'whsec_stripe', at = now() } = {}) {
  const signature = mac(secret, `${at}.${body}`).digest('hex')
  return post(sources.stripe.path, { 'stripe-signature': `t=${at},v1=${signature}` }, body)
}
function fromStandard(id: string, body: string, { secret = WHSEC, at = now() } = {}) {
  const bytes = Buffer.from(secret.slice(6), 'base64')
  const signature = `v1,${mac(bytes, `${id}.${at}.${body}`).digest('base64')}`
  const headers = { 'webhook-id': id, 'webhook-timestamp': String(at) }
  return post(sources.standard.path, { ...headers, 'webhook-signature': signature }, body)
}
function fromGithub(delivery: string, event: string, body: string) {
  const signature = `sha256=${mac('a word of ours', body).digest('hex')}`
  const headers = { 'x-github-delivery': delivery, 'x-github-event': event }
  return post(sources.github.path, { ...headers, 'x-hub-signature-256': signature }, body)
}

async function found(source: string, id: string): Promise<Shown> {
  for (;;) {
    const path = `/v1/events/find?source=${encodeURIComponent(source)}&id=${id}`
    const { status, body } = await api<Shown>('GET', path, undefined, { key })
    if (status === 200) return body
    await sleep(50)
  }
}

describe('what is signed is an event', () => {
  test('of Stripe, Standard Webhooks and GitHub, with the sender’s id and time', async () => {
    expect(await fromStripe(charge('evt_1'))).toEqual({ status: 202, body: { accepted: 1 } })
    const payload = { timestamp: '2026-01-02T03:04:05Z', data: { card: 'card_8', amount: 7 } }
    expect((await fromStandard('msg_1', JSON.stringify(payload))).status).toBe(202)
    const sponsored = { sponsor: { login: 'anna' }, amount: 5 }
    expect((await fromGithub('guid-1', 'sponsorship', JSON.stringify(sponsored))).status).toBe(202)
    expect(await found('/hooks/stripe', 'evt_1')).toMatchObject({
      time: '2026-01-01T00:00:00Z',
      data: { card: 'card_9', amount: 1250 },
    })
    const { time, data } = await found('/hooks/standard', 'msg_1')
    expect({ time, data }).toEqual({ time: payload.timestamp, data: payload.data })
    expect((await found('/hooks/github', 'guid-1')).data).toEqual({ card: 'anna', amount: 5 })
  })

  test('once, however often it is sent and signed anew; another body by its name is a conflict', async () => {
    const body = charge('evt_again')
    for (const at of [now(), now() - 60, now() - 120]) {
      expect((await fromStripe(body, { at })).status).toBe(202)
    }
    await found('/hooks/stripe', 'evt_again')
    const other = charge('evt_again', { data: { object: { amount: 1, source: { id: 'x' } } } })
    expect((await fromStripe(other)).status).toBe(202)
    type Rejected = { data: { id: string; source: string; code: string }[] }
    for (;;) {
      const { data } = await ok<Rejected>('GET', '/v1/events/rejected', undefined, { key })
      if (data.length === 0) {
        await sleep(50)
        continue
      }
      const rejected = { source: '/hooks/stripe', id: 'evt_again', code: 'event_conflict' }
      expect(data).toMatchObject([rejected])
      break
    }
    const page = await ok<{ data: Shown[] }>('GET', '/v1/events?limit=100', undefined, { key })
    expect(page.data.filter(({ id }) => id === 'evt_again')).toHaveLength(1)
  })

  test('acknowledged and dropped if no rule wants it, refused if it does not fit its contract', async () => {
    const ping = await fromGithub('guid-2', 'ping', '{"zen":"…"}')
    expect(ping).toEqual({
      status: 202,
      body: { accepted: 0, ignored: 'The source has no rule for "ping".' },
    })
    const wrong = charge('evt_2', { data: { object: { amount: -1, source: { id: 'x' } } } })
    const { status, body } = await fromStripe(wrong)
    expect([status, body.code]).toEqual([422, 'invalid_event'])
    expect(body.errors).toMatchObject([{ pointer: '/data/amount' }])
    expect((await fromStripe('{"half')).body.code).toBe('invalid_event')
  })
})

describe('what is not signed so is refused, each reason like the other', () => {
  const shape = ({ status, body }: Answer) => ({ status, body: { ...body, request_id: '' } })

  test('an unknown address, another secret, a changed body, no signature, a point in the id', async () => {
    const body = charge('evt_3')
    const at = now()
    const signature = mac('whsec_stripe', `${at}.${body}`).digest('hex')
    const headers = { 'stripe-signature': `t=${at},v1=${signature}` }
    const answers = [
      await post(`/v1/hooks/${newId('hook')}`, headers, body),
      await post('/v1/hooks/stripe', headers, body),
      await fromStripe(body, { secret: 'whsec_of_another_endpoint' }),
      await post(sources.stripe.path, headers, JSON.stringify(JSON.parse(body), null, 1)),
      await post(sources.stripe.path, {}, body),
      await post(sources.stripe.path, { authorization: `Bearer ${key}` }, body),
      await post(sources.standard.path, headers, body),
      await fromStandard('msg.1', '{}'),
    ].map(shape)
    for (const answer of answers) expect(answer).toEqual(answers[0])
    expect(answers[0]).toMatchObject({ status: 401, body: { code: 'invalid_signature' } })
    const find = '/v1/events/find?source=/hooks/stripe&id=evt_3'
    await refused('GET', find, undefined, 404, 'not_found', { key })
  })

  test('a replay after five minutes, with how far it is off', async () => {
    const { status, body } = await fromStripe(charge('evt_4'), { at: now() - 330 })
    expect([status, body.code]).toEqual([401, 'invalid_signature'])
    expect(body.detail).toMatch(/33\d s from ours; tolerated are 300 s/)
    expect((await fromStandard('msg_4', '{}', { at: now() + 330 })).status).toBe(401)
  })
})

test('a secret follows another without a gap, and then the old one opens nothing', async () => {
  const next = 'whsec_stripe_next'
  const path = '/v1/hook-sources/stripe/secrets'
  await ok('PUT', `${path}/next`, { secret: next }, { key })
  expect((await fromStripe(charge('evt_5'))).status).toBe(202)
  expect((await fromStripe(charge('evt_6'), { secret: next })).status).toBe(202)
  const left = await ok<Source>('DELETE', `${path}/first`, undefined, { key })
  expect(left.secrets.map(({ name }) => name)).toEqual(['next'])
  expect((await fromStripe(charge('evt_7'))).status).toBe(401)
  expect((await fromStripe(charge('evt_7'), { secret: next })).status).toBe(202)
  await refused('DELETE', `${path}/next`, undefined, 409, 'conflict', { key })
})

test('from the command line: declared, shown with its address, given a secret, taken away', async () => {
  const definition = { scheme: 'github', events: { '*': { type: 'payment' } } }
  writeFileSync(join(home, 'hub.json'), JSON.stringify(definition))
  writeFileSync(join(home, 'secret.txt'), 'a-word-of-the-file\n')
  const made = await galley('hooks', 'apply', 'hub', 'hub.json', '--secret', 'first=@secret.txt')
  const [, path = ''] = /(\/v1\/hooks\/hok_\w+)/.exec(made) ?? []
  expect(made).toContain(`${(await product()).url}${path}`)
  expect(made).not.toContain('a-word-of-the-file')
  const signed = (secret: string) => {
    const body = '{"card":"c","amount":1}'
    const signature = `sha256=${mac(secret, body).digest('hex')}`
    return post(path, { 'x-github-delivery': secret, 'x-hub-signature-256': signature }, body)
  }
  expect((await signed('a-word-of-the-file')).status).toBe(202)
  await galley('hooks', 'add-secret', 'hub', 'second', 'a-word-as-it-is')
  expect((await signed('a-word-as-it-is')).status).toBe(202)
  await galley('hooks', 'remove-secret', 'hub', 'first')
  expect(await galley('hooks', 'show', 'hub')).toMatch(/secrets +second/)
  expect(await galley('hooks', 'list')).toContain('hub')
  expect(await galley('hooks', 'remove', 'hub')).toBe('Removed "hub".\n')
  expect((await signed('a-word-as-it-is')).status).toBe(401)
})

test('no reply and no listing shows a secret, and a removed source answers nobody', async () => {
  const seen = [
    await ok('GET', '/v1/hook-sources', undefined, { key }),
    await ok('GET', '/v1/hook-sources/github', undefined, { key }),
    await ok('GET', '/v1/audit?limit=100', undefined, { key }),
    await ok('DELETE', '/v1/hook-sources/github', undefined, { key }),
  ]
  for (const secret of ['a word of ours', 'whsec_stripe', WHSEC]) {
    expect(JSON.stringify(seen)).not.toContain(secret)
  }
  const { status, body } = await fromGithub('guid-3', 'sponsorship', '{}')
  expect([status, body.code]).toEqual([401, 'invalid_signature'])
})
