/** Key records in KV: they spare look-ups, and never let in who was revoked, whatever keeps them. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type KeyStore, withKeyRecords } from '#edge/key-records.ts'

type Functions = ReturnType<typeof withKeyRecords>
export type KeyStoreDriver = { store: KeyStore; close(): Promise<void> }

export function keyRecordsSuite(name: string, open: () => Promise<KeyStoreDriver>): void {
  describe(`key records on ${name}`, () => {
    let driver: KeyStoreDriver
    beforeAll(async () => {
      driver = await open()
    })
    afterAll(() => driver.close())
    suite(() => driver.store)
  })
}

let now: number
/** Keys of this test alone. */
let k: string
let r: string
let made = 0
let revoked: Set<string>
let lookUps: number
let away: boolean
let pending: Promise<unknown>[]
let opened: () => KeyStore

const controlApi: Functions = {
  async fetch(request) {
    const { pathname } = new URL(request.url)
    if (pathname === '/internal/revocations') return Response.json({ publicIds: [...revoked] })
    if (pathname !== '/internal/keys') return Response.json({})
    lookUps++
    const { publicId } = (await request.json()) as { publicId: string }
    if (publicId === 'unknown') return Response.json({})
    return Response.json({ caller: { of: publicId }, revoked: revoked.has(publicId) })
  },
}

function isolate(): Functions {
  const store: KeyStore = {
    get: name => (away ? Promise.reject(new Error('KV is away')) : opened().get(name)),
    put: (...record) => (away ? Promise.reject(new Error('KV is away')) : opened().put(...record)),
  }
  const background = (work: Promise<unknown>) => void pending.push(work)
  return withKeyRecords(controlApi, { clock: { now: () => now }, store, background })
}

const readList = (from: Functions) => post(from, '/internal/revocations', {})
const lookUp = (from: Functions, publicId: string) => post(from, '/internal/keys', { publicId })
async function post(from: Functions, path: string, body: unknown) {
  const init = { method: 'POST', body: JSON.stringify(body) }
  return (await from.fetch(new Request(`http://functions${path}`, init))).json()
}

/** Two isolates that know of no revocation, and a record that the first has put into KV. */
async function seeded() {
  const [first, second] = [isolate(), isolate()]
  await readList(first)
  await readList(second)
  await lookUp(first, k)
  await Promise.all(pending)
  return { first, second }
}

function suite(store: () => KeyStore): void {
  beforeEach(() => {
    now = 1_800_000_000_000
    opened = store
    k = `k${made++}`
    r = `r${made++}`
    revoked = new Set()
    lookUps = 0
    away = false
    pending = []
  })

  test('a key that one isolate looked up is known to the next without asking', async () => {
    const { second } = await seeded()
    now += 5_000
    expect(await lookUp(second, k)).toMatchObject({ caller: { of: k } })
    expect(lookUps).toBe(1)
  })

  test('a revoked key is refused as soon as the list is read, whatever KV says', async () => {
    const { second } = await seeded()
    revoked.add(k)
    now += 10_000
    await readList(second)
    expect(await lookUp(second, k)).toMatchObject({ revoked: true })
  })

  test('an isolate that has not read the list of late asks the control API', async () => {
    const { second } = await seeded()
    revoked.add(k)
    expect(await lookUp(isolate(), k)).toMatchObject({ revoked: true })
    now += 21_000
    expect(await lookUp(second, k)).toMatchObject({ revoked: true })
  })

  test('a record older than the list reaches back is not believed', async () => {
    await seeded()
    revoked.add(k)
    now += 60_000
    // The list no longer names it for an isolate that starts now.
    const late = isolate()
    const named = [...revoked]
    revoked.clear()
    await readList(late)
    for (const id of named) revoked.add(id)
    expect(await lookUp(late, k)).toMatchObject({ revoked: true })
  })

  test('what a caller changes through an isolate holds there at once', async () => {
    const { second } = await seeded()
    revoked.add(k)
    await second.fetch(new Request('http://functions/v1/keys/key_1', { method: 'DELETE' }))
    expect(await lookUp(second, k)).toMatchObject({ revoked: true })
  })

  test('unknown and revoked keys leave no record', async () => {
    const here = isolate()
    await readList(here)
    revoked.add(r)
    await lookUp(here, 'unknown')
    await lookUp(here, r)
    await Promise.all(pending)
    for (const id of ['unknown', r]) expect(await opened().get(`key:${id}`)).toBeNull()
  })

  test('without KV the control API answers', async () => {
    const { second } = await seeded()
    away = true
    expect(await lookUp(second, k)).toMatchObject({ caller: { of: k } })
    expect(lookUps).toBe(2)
  })
}
