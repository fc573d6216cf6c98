/** Notices of interruption: read with a token, told once, and a service that fails costs nothing but a line. */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { instanceMetadata } from '#gpu-runners/leaving/metadata.ts'
import { leftMs, type Notice, watchNotices } from '#gpu-runners/leaving/notices.ts'
import {
  ACTION_PATH,
  noticeText,
  REBALANCE_PATH,
  startMetadataServer,
} from '#tests/metadata-server.ts'

const ACTION = 'spot/instance-action'
const never = new AbortController().signal

/** A service, and its reader at a time that the test sets. */
async function newService() {
  const server = await startMetadataServer()
  onTestFinished(() => server.close())
  let now = 1_000_000
  const clock = { now: () => now }
  const metadata = instanceMetadata({ clock }, server.url)
  const forward = (ms: number) => {
    now += ms
  }
  return { server, metadata, clock, forward }
}

/** Watches a service for the length of the test, on the events that it logs. */
function watch({ metadata, clock }: Awaited<ReturnType<typeof newService>>) {
  const stop = new AbortController()
  const notices: Notice[] = []
  const lines: string[] = []
  const log = {
    info: (line: string) => lines.push(line),
    error: (line: string) => lines.push(line),
  }
  const watching = watchNotices({ metadata, clock, log }, n => notices.push(n), stop.signal)
  onTestFinished(async () => {
    stop.abort()
    await watching
  })
  return { notices, lines, watching, stop }
}

test('many reads share one token, and one that has run out is asked for anew before it is refused', async () => {
  const { server, metadata, forward } = await newService()
  for (let i = 0; i < 5; i++) expect(await metadata.read(ACTION, never)).toBeNull()
  expect(server.tokens()).toBe(1)
  forward(21_600_000)
  expect(await metadata.read(ACTION, never)).toBeNull()
  expect(server.tokens()).toBe(2)
})

test('a token that the service does not know any more is replaced within the same read', async () => {
  const { server, metadata } = await newService()
  server.there.set(ACTION_PATH, 'x')
  expect(await metadata.read(ACTION, never)).toBe('x')
  server.forgetTokens()
  expect(await metadata.read(ACTION, never)).toBe('x')
  expect(server.tokens()).toBe(2)
})

test('an answer that is neither a text nor 404 is an error, which names status and path', async () => {
  const { server, metadata } = await newService()
  server.onRead = response => void response.writeHead(500).end()
  await expect(metadata.read(ACTION, never)).rejects.toThrow(/500.*spot\/instance-action/)
})

test('a service that gives no token is not read without one', async () => {
  const asked: string[] = []
  const http = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    response.writeHead(403).end()
  }).listen(0, '127.0.0.1')
  onTestFinished(() => void http.close())
  await new Promise(resolve => http.once('listening', resolve))
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`
  const metadata = instanceMetadata({ clock: { now: () => 1 } }, url)
  await expect(metadata.read(ACTION, never)).rejects.toThrow('403')
  expect(asked).toEqual(['PUT /latest/api/token'])
})

test('a redirect is not followed: the token goes nowhere else', async () => {
  const { server, metadata } = await newService()
  const other = await startMetadataServer()
  onTestFinished(() => other.close())
  server.onRead = response => void response.writeHead(302, { location: other.url }).end()
  await expect(metadata.read(ACTION, never)).rejects.toThrow()
  expect(other.reads).toEqual([])
})

test('a notice is told once, with the time at which the machine goes', async () => {
  const service = await newService()
  service.server.there.set(ACTION_PATH, noticeText(1_120_000))
  const { notices, watching } = watch(service)
  await watching
  expect(notices).toEqual([{ action: 'terminate', at: 1_120_000 }])
})

test('a notice that cannot be read is one all the same', async () => {
  for (const text of ['', '{', '{"action":"stop","time":"soon"}']) {
    const service = await newService()
    service.server.there.set(ACTION_PATH, text)
    const { notices, watching } = watch(service)
    await watching
    expect(notices).toHaveLength(1)
    expect(notices[0]!.at).toBe(service.clock.now() + 120_000)
  }
})

test('a service that fails is asked again, is told of in one line, and its notice is heard', async () => {
  const service = await newService()
  let failed = 0
  service.server.onRead = response => {
    failed++
    response.writeHead(500).end()
  }
  const { notices, lines } = watch(service)
  await until(() => failed >= 2)
  service.server.there.set(ACTION_PATH, noticeText(2_000_000))
  service.server.onRead = null
  await until(() => notices.length > 0)
  expect(lines).toEqual(['runner.notices_unreadable', 'runner.notice'])
}, 30_000)

test('a service that does not answer holds nothing up, and is given up on', async () => {
  const { server, metadata } = await newService()
  const hung: ServerResponse[] = []
  server.onRead = response => void hung.push(response)
  await expect(metadata.read(ACTION, never)).rejects.toThrow()
  expect(hung).toHaveLength(1)
})

test('a recommendation to rebalance is no reason to leave: it is told once, and a notice still comes', async () => {
  const service = await newService()
  service.server.there.set(REBALANCE_PATH, '{"noticeTime":"2026-11-30T08:22:00Z"}')
  const { notices, lines } = watch(service)
  await until(() => service.server.reads.filter(path => path === ACTION_PATH).length >= 3)
  expect(notices).toEqual([])
  expect(lines).toEqual(['runner.at_risk'])
  service.server.there.set(ACTION_PATH, noticeText(2_000_000))
  await until(() => notices.length > 0)
}, 30_000)

test('each of several processes gets its own notice, and one notice goes to one of them', async () => {
  const service = await newService()
  const other = { ...service, metadata: instanceMetadata(service, service.server.url) }
  await service.metadata.read(ACTION, never)
  await other.metadata.read(ACTION, never)
  const told = service.server.noticeToOne(2_000_000)
  const said = await service.metadata.read(ACTION, never)
  await told
  expect(said).toContain('terminate')
  expect(await other.metadata.read(ACTION, never)).toBeNull()
  expect(await service.metadata.read(ACTION, never)).toBe(said)
})

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(5)
}

test('a notice leaves time to hand back, however late it is heard and whatever the clock says', () => {
  const noticeIn = (ms: number) =>
    leftMs({ action: 'terminate', at: 1_000_000 + ms }, 1_000_000, 110_000)
  expect(noticeIn(120_000)).toBe(110_000)
  expect(noticeIn(60_000)).toBe(55_000)
  expect([2_000, 0, -300_000].map(noticeIn)).toEqual([1_000, 1_000, 1_000])
})
