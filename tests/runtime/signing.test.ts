/** Signatures between places: a token is good for one request of one place, for a minute. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  fromBase64Url,
  fromHex,
  openSigner,
  openVerifier,
  PLACES,
  placeKey,
  STREAMED,
  sha256Hex,
  toBase64Url,
  toHex,
} from '#core/internal/signing.ts'

const SECRET = 's'.repeat(40)
const NOW = Date.UTC(2026, 0, 1)
const edgeKey = await placeKey(SECRET, 'edge')
const signer = await openSigner('edge', edgeKey)
const verifier = await openVerifier({ edge: edgeKey, runner: await placeKey(SECRET, 'runner') })
const BODY = new TextEncoder().encode('{"a":1}')
const REQUEST = { method: 'POST', path: '/v1/keys?x=1', body: BODY }

const claims = async () => ({
  call: null,
  method: 'POST',
  path: '/v1/keys?x=1',
  body: await sha256Hex(BODY),
})
const token = async () => signer.sign(await claims(), NOW)
const refused = { code: 'unauthenticated', public: 'This endpoint takes signed requests only.' }

test('a token opens for the request that it was made for, and says which place made it', async () => {
  expect(await verifier.verify(await token(), REQUEST, NOW)).toMatchObject({
    from: 'edge',
    path: '/v1/keys?x=1',
  })
})

test('a token opens for no other method, path, query or body', async () => {
  const good = await token()
  const others = [
    { ...REQUEST, method: 'DELETE' },
    { ...REQUEST, path: '/v1/keys' },
    { ...REQUEST, path: '/v1/keys?x=2' },
    { ...REQUEST, body: new Uint8Array() },
    { ...REQUEST, body: STREAMED as typeof STREAMED },
  ]
  for (const other of others)
    await expect(verifier.verify(good, other, NOW)).rejects.toMatchObject(refused)
})

test('a token of a body as a stream does not open for a body that was read', async () => {
  const streamed = await signer.sign({ ...(await claims()), body: STREAMED }, NOW)
  await expect(verifier.verify(streamed, REQUEST, NOW)).rejects.toMatchObject(refused)
})

test('a token ends: a minute, and the skew of two clocks', async () => {
  const good = await token()
  await verifier.verify(good, REQUEST, NOW + 89_000)
  await expect(verifier.verify(good, REQUEST, NOW + 91_000)).rejects.toMatchObject(refused)
})

test('no character of a token can be changed', async () => {
  const good = await token()
  await fc.assert(
    fc.asyncProperty(fc.nat(good.length - 1), fc.constantFrom(...'Ab0_-.'), async (at, char) => {
      if (good[at] === char) return
      // The last character of base64url holds bits that no byte has: it may stand for the same bytes.
      const changed = good.slice(0, at) + char + good.slice(at + 1)
      if (at === good.length - 1) return
      await expect(verifier.verify(changed, REQUEST, NOW)).rejects.toMatchObject(refused)
    }),
    { numRuns: 300 },
  )
})

test('whatever is sent in place of a token is refused as a missing one is', async () => {
  await fc.assert(
    fc.asyncProperty(fc.option(fc.string({ maxLength: 300 })), async text => {
      await expect(verifier.verify(text, REQUEST, NOW)).rejects.toMatchObject(refused)
      await expect(verifier.verify(`v1.edge.${text}`, REQUEST, NOW)).rejects.toMatchObject(refused)
    }),
    { numRuns: 200 },
  )
})

test('the key of one place does not speak for another', async () => {
  const runnerSigner = await openSigner('runner', await placeKey(SECRET, 'runner'))
  const asRunner = await runnerSigner.sign(await claims(), NOW)
  expect((await verifier.verify(asRunner, REQUEST, NOW)).from).toBe('runner')
  const renamed = asRunner.replace('v1.runner.', 'v1.edge.')
  await expect(verifier.verify(renamed, REQUEST, NOW)).rejects.toMatchObject(refused)
  const liar = await openSigner('edge', await placeKey(SECRET, 'runner'))
  const lied = await liar.sign(await claims(), NOW)
  await expect(verifier.verify(lied, REQUEST, NOW)).rejects.toMatchObject(refused)
})

test('a place whose key is not given is not believed, whatever it signs', async () => {
  const supervisor = await openSigner('supervisor', await placeKey(SECRET, 'supervisor'))
  const signed = await supervisor.sign(await claims(), NOW)
  await expect(verifier.verify(signed, REQUEST, NOW)).rejects.toMatchObject(refused)
})

test('places have different keys, and another deployment has others', async () => {
  const keys = await Promise.all(
    PLACES.flatMap(place => [placeKey(SECRET, place), placeKey(`${SECRET}!`, place)]),
  )
  expect(new Set(keys).size).toBe(PLACES.length * 2)
})

test('bytes survive base64url and hex', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), bytes => {
      expect(fromBase64Url(toBase64Url(bytes))).toEqual(bytes)
      expect(fromHex(toHex(bytes))).toEqual(bytes)
      expect(toBase64Url(bytes)).toMatch(/^[\w-]*$/)
    }),
  )
})
