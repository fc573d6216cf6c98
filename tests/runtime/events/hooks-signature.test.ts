/** Signatures of webhooks, by published vectors, by node:crypto, and by what attackers try. */
import { createHmac, generateKeyPairSync, sign } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { judged, keyOf, type SecretKey } from '#core/events/hooks/hooks.ts'
import type { HookScheme } from '#schemas/hook.ts'

const NOW_S = 1_800_000_000
const WHSEC = `whsec_${Buffer.from('a secret of 24 bytes or so').toString('base64')}`
const bytesOf = (text: string) => new TextEncoder().encode(text)

type Sent = { headers: Record<string, string>; body: string | Uint8Array }
async function verdictOf(
  scheme: HookScheme,
  secrets: string[],
  { headers, body }: Sent,
  nowS = NOW_S,
): Promise<string> {
  const keys: SecretKey[] = await Promise.all(secrets.map(secret => keyOf(scheme, secret)))
  const bytes = typeof body === 'string' ? bytesOf(body) : body
  const received = { header: (name: string) => headers[name], body: bytes }
  const about = { nowMs: nowS * 1_000, toleranceS: 300 }
  return (await judged(scheme, keys, received, about)).verdict
}

const mac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text)
const keyBytes = (secret: string) => Buffer.from(secret.slice(6), 'base64')

function standard(
  secret: string,
  body: string,
  { id = 'msg_1', at = NOW_S, prefix = 'webhook' } = {},
) {
  const signature = mac(keyBytes(secret), `${id}.${at}.${body}`).digest('base64')
  const headers = {
    [`${prefix}-id`]: id,
    [`${prefix}-timestamp`]: String(at),
    [`${prefix}-signature`]: `v1,${signature}`,
  }
  return { headers, body }
}
function stripe(secret: string, body: string, at = NOW_S): Sent {
  const signature = mac(secret, `${at}.${body}`).digest('hex')
  return { headers: { 'stripe-signature': `t=${at},v1=${signature},v0=${'0'.repeat(64)}` }, body }
}
function github(secret: string, body: string): Sent {
  const signature = mac(secret, body).digest('hex')
  return { headers: { 'x-hub-signature-256': `sha256=${signature}` }, body }
}

describe('published vectors', () => {
  test('Standard Webhooks', async () => {
    const headers = {
      'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      'webhook-timestamp': '1614265330',
      'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    }
    const sent = { headers, body: '{"test": 2432232314}' }
    const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
    expect(await verdictOf('standard-webhooks', [secret], sent, 1_614_265_330)).toBe('genuine')
  })

  test('GitHub', async () => {
    const signature = '757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17'
    const headers = { 'x-hub-signature-256': `sha256=${signature}` }
    const sent = { headers, body: 'Hello, World!' }
    expect(await verdictOf('github', ["It's a Secret to Everybody"], sent)).toBe('genuine')
  })
})

const SIGNERS = [
  ['standard-webhooks', WHSEC, standard],
  ['stripe', 'whsec_of_stripe', stripe],
  ['github', 'a word of ours', github],
] as const

describe.each(SIGNERS)('%s', (scheme, secret, signed) => {
  test('what its secret signed is genuine, whatever the bytes', async () => {
    const body = fc.string({ unit: 'binary', maxLength: 200 })
    await fc.assert(
      fc.asyncProperty(body, async text => {
        expect(await verdictOf(scheme, [secret], signed(secret, text))).toBe('genuine')
      }),
    )
  })

  test('one changed character anywhere, in the body or in a header, makes it forged', async () => {
    const body = '{"id":"evt_1","amount":1250}'
    const sent = signed(secret, body)
    const places = ['body', ...Object.keys(sent.headers)]
    const change = fc.record({
      place: fc.constantFrom(...places),
      at: fc.nat(),
      to: fc.constantFrom('0', '7', 'a', 'Z', '.', ' '),
    })
    await fc.assert(
      fc.asyncProperty(change, async ({ place, at, to }) => {
        const old = place === 'body' ? body : sent.headers[place]!
        const i = at % old.length
        const changed = old.slice(0, i) + to + old.slice(i + 1)
        // A part that is of another version, and bits past the end of base64, are not signed.
        fc.pre(
          changed !== old && !(scheme === 'stripe' && i > old.indexOf(',v0') && place !== 'body'),
        )
        fc.pre(!(place === 'webhook-signature' && i === old.length - 2))
        fc.pre(old[i]!.toLowerCase() !== to.toLowerCase())
        const other =
          place === 'body'
            ? { ...sent, body: changed }
            : { ...sent, headers: { ...sent.headers, [place]: changed } }
        expect(await verdictOf(scheme, [secret], other)).toBe('forged')
      }),
    )
  })

  test('another endpoint’s secret, a reserialised body and no signature are forged', async () => {
    const other = scheme === 'standard-webhooks' ? `${WHSEC.slice(0, -4)}AAAA` : `${secret}2`
    expect(await verdictOf(scheme, [other], signed(secret, '{}'))).toBe('forged')
    const sent = signed(secret, '{"a": 1}')
    expect(await verdictOf(scheme, [secret], { ...sent, body: '{"a":1}' })).toBe('forged')
    expect(await verdictOf(scheme, [secret], { headers: {}, body: '{}' })).toBe('forged')
    expect(await verdictOf(scheme, [], signed(secret, '{}'))).toBe('forged')
  })

  test('while one secret follows another both are believed, and then the old one is not', async () => {
    const next = scheme === 'standard-webhooks' ? `${WHSEC.slice(0, -4)}BBBB` : `${secret} next`
    const [old, fresh] = [signed(secret, '{}'), signed(next, '{}')]
    for (const sent of [old, fresh]) {
      expect(await verdictOf(scheme, [next, secret], sent)).toBe('genuine')
    }
    expect(await verdictOf(scheme, [next], old)).toBe('forged')
  })
})

test('a signed time more than the tolerance from ours is stale, in both directions', async () => {
  for (const [scheme, sent] of [
    ['standard-webhooks', standard(WHSEC, '{}')],
    ['stripe', stripe(WHSEC, '{}')],
  ] as const) {
    for (const [offByS, verdict] of [
      [-301, 'stale'],
      [-300, 'genuine'],
      [300, 'genuine'],
      [301, 'stale'],
    ] as const) {
      const found = await verdictOf(scheme, [WHSEC], sent, NOW_S + offByS)
      expect([scheme, offByS, found]).toEqual([scheme, offByS, verdict])
    }
  }
})

test('a point in the id is refused: the same signature could be cut into another id, time and body', async () => {
  const sent = standard(WHSEC, `${NOW_S}.{"amount":1}`, { id: 'msg_1' })
  const cut = {
    headers: { ...sent.headers, 'webhook-id': `msg_1.${NOW_S}` },
    body: '{"amount":1}',
  }
  expect(await verdictOf('standard-webhooks', [WHSEC], sent)).toBe('genuine')
  expect(await verdictOf('standard-webhooks', [WHSEC], cut)).toBe('forged')
  expect(await verdictOf('standard-webhooks', [WHSEC], standard(WHSEC, '{}', { id: 'a.b' }))).toBe(
    'forged',
  )
})

test('a time that two readers would read apart is refused', async () => {
  for (const at of ['+1800000000', '1.8e9', '01800000000', '1800000000 ', '0x6B49D200', '']) {
    const signature = mac(keyBytes(WHSEC), `m.${at}.{}`).digest('base64')
    const headers = {
      'webhook-id': 'm',
      'webhook-timestamp': at,
      'webhook-signature': `v1,${signature}`,
    }
    expect(await verdictOf('standard-webhooks', [WHSEC], { headers, body: '{}' })).toBe('forged')
  }
  const twice = stripe('s'.repeat(8), '{}')
  twice.headers['stripe-signature'] += `,t=${NOW_S + 1}`
  expect(await verdictOf('stripe', ['s'.repeat(8)], twice)).toBe('forged')
})

test('the id is the one that was signed, not one that stands beside it', async () => {
  const sent = standard(WHSEC, '{}', { id: 'msg_signed', prefix: 'svix' })
  const headers: Record<string, string> = { ...sent.headers, 'webhook-id': 'msg_other' }
  const received = { header: (name: string) => headers[name], body: bytesOf('{}') }
  const keys = [await keyOf('standard-webhooks', WHSEC)]
  const about = { nowMs: NOW_S * 1_000, toleranceS: 300 }
  const found = await judged('standard-webhooks', keys, received, about)
  expect(found).toEqual({ verdict: 'genuine', id: 'msg_signed' })
})

test('a public key believes its own signatures (v1a), beside others in one header', async () => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)
  const secret = `whpk_${raw.toString('base64')}`
  const sent = standard(WHSEC, '{}')
  const signature = sign(null, Buffer.from(`msg_1.${NOW_S}.{}`), privateKey).toString('base64')
  const headers = {
    ...sent.headers,
    'webhook-signature': `v2,${signature} v1a,${signature} ${sent.headers['webhook-signature']}`,
  }
  expect(await verdictOf('standard-webhooks', [secret], { ...sent, headers })).toBe('genuine')
  expect(await verdictOf('standard-webhooks', [WHSEC], { ...sent, headers })).toBe('genuine')
  expect(await verdictOf('standard-webhooks', [secret], sent)).toBe('forged')
  const swapped = { ...headers, 'webhook-signature': `v1,${signature}` }
  expect(await verdictOf('standard-webhooks', [secret], { ...sent, headers: swapped })).toBe(
    'forged',
  )
})

test('a secret without the form of Standard Webhooks is refused, with the form', async () => {
  for (const secret of ['plain text', 'whsec_!!!', 'whsec_c2hvcnQ=', `whpk_${btoa('short')}`]) {
    await expect(keyOf('standard-webhooks', secret), secret).rejects.toMatchObject({
      code: 'invalid_body',
    })
  }
})
