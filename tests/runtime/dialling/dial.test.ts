/** A runner and its routers: all that a name stands for are dialled, and each is told of its own receipts. */
import type { Duplex } from 'node:stream'
import { expect, onTestFinished, test } from 'vitest'
import { openSigner, openVerifier } from '#core/internal/signing.ts'
import { receiptLine } from '#core/usage/receipt-log.ts'
import { dialRouters } from '#gpu-runners/dialling/dial.ts'
import type { Served } from '#gpu-runners/dialling/link.ts'
import { OwnReceipts } from '#gpu-runners/dialling/own-receipts.ts'
import { FRAME } from '#gpu-runners/online/frames.ts'
import { digestMark, replyHead } from '#gpu-runners/online/messages.ts'
import { createRouter } from '#gpu-runners/router.ts'
import type { Channel } from '#platform/channel/channel.ts'
import { listenForChannels } from '#platform/channel/transport.ts'
import { newId } from '#schemas/ids.ts'
import { systemClock as clock } from '#tests/caller.ts'
import { freePort } from '../../../bench/product.ts'
import { callFor, runnerKey, until } from '../routing/scene.ts'

const log = { info() {}, error() {} }
const verifier = await openVerifier({ runner: runnerKey })

/** A router on an address of loopback of its own: to a runner each is another machine. */
async function newRouter(host: string, port: number) {
  const shipped: string[] = []
  const streams = new Set<Duplex>()
  const made = createRouter({
    clock,
    log,
    verifier,
    callRunner: async () => ({ coldS: null }),
    ship: async lines => void shipped.push(...(JSON.parse(lines) as unknown[]).map(String)),
  })
  const attach = (stream: Duplex) => {
    streams.add(stream)
    made.attach(stream)
  }
  const server = await listenForChannels({ log }, { host, port }, runnerKey, attach)
  const end = () => {
    server.close()
    made.close()
    for (const stream of streams) stream.destroy()
  }
  onTestFinished(end)
  const ask = async (body: string) =>
    Buffer.from((await made.router.infer(callFor(body), null)).body).toString()
  return { ...made, host, shipped, ask, end }
}

/** A runner that answers at once, with one log of receipts for all its channels. */
async function newRunner(name: string, hosts: () => string[], port: number) {
  let written = 0
  const signer = await openSigner('runner', runnerKey)
  const dialled = dialRouters(
    { clock, log, signer },
    {
      address: { host: name, port },
      key: runnerKey,
      runner: 'r',
      machine: { hardware: 'cpu' },
      serve: channel => served(channel),
      resolve: async () => hosts(),
      lookupMs: 10,
    },
  )
  dialled.announce(['d'])
  onTestFinished(() => dialled.close())

  function served(channel: Channel): Served {
    const own = new OwnReceipts()
    return {
      onFrame(type, id, payload) {
        if (type !== FRAME.infer) return
        own.wrote(1, ++written)
        const receiptId = `rcp_${written}`
        const line = receiptLine(0, {
          id: receiptId,
          work: newId('request'),
          at: 1,
          rows: 1,
          computeUs: 2,
          bytesIn: payload.length,
          bytesOut: 4,
        })
        const head = { jsonLength: null, line, receiptId, computeUs: 2, made: digestMark('d') }
        channel.send(FRAME.reply, id, [replyHead(head), Buffer.from(receiptId)])
      },
      end() {},
      inFlight: () => 0,
      shipped: total => own.shipped(total),
    }
  }

  return { ...dialled, written: () => written }
}

test('every router that a name stands for has a channel, and a new one is dialled', async () => {
  const port = await freePort()
  const hosts = ['127.0.0.1']
  const first = await newRouter('127.0.0.1', port)
  const runner = await newRunner('router.internal', () => hosts, port)
  expect(await first.ask('x')).toBe('rcp_1')
  const second = await newRouter('127.0.0.2', port)
  hosts.push('127.0.0.2')
  expect(await second.ask('x')).toBe('rcp_2')
  expect(await first.ask('x')).toBe('rcp_3')
  expect(runner.routers()).toBe(2)
})

test('a router that goes is not dialled any more, and the others are served', async () => {
  const port = await freePort()
  let hosts = ['127.0.0.1', '127.0.0.2']
  const [first, second] = [await newRouter(hosts[0]!, port), await newRouter(hosts[1]!, port)]
  const runner = await newRunner('router.internal', () => hosts, port)
  await until(() => runner.routers() === 2)
  hosts = ['127.0.0.2']
  first.end()
  await until(() => runner.routers() === 1)
  expect(await second.ask('x')).toBe('rcp_1')
})

test('a name that is empty or unknown for a moment costs nothing that works', async () => {
  const port = await freePort()
  let hosts: string[] | null = ['127.0.0.1']
  let looked = 0
  const router = await newRouter('127.0.0.1', port)
  const resolve = () => {
    looked++
    if (!hosts) throw new Error('SERVFAIL')
    return hosts
  }
  const runner = await newRunner('router.internal', resolve, port)
  await until(() => runner.routers() === 1)
  for (const now of [[], null, ['127.0.0.9']]) {
    hosts = now
    const before = looked
    await until(() => looked > before + 1)
    expect(await router.ask('x')).toMatch(/^rcp_/)
  }
})

test('a router that comes back at its address is dialled again', async () => {
  const port = await freePort()
  const router = await newRouter('127.0.0.1', port)
  const runner = await newRunner('router.internal', () => ['127.0.0.1'], port)
  await until(() => runner.routers() === 1)
  router.end()
  const next = await newRouter('127.0.0.1', port)
  expect(await next.ask('x')).toBe('rcp_1')
})

test('a router that is told of shipped receipts lets go of its own copies alone', async () => {
  const port = await freePort()
  const hosts = ['127.0.0.1', '127.0.0.2']
  const [first, second] = [await newRouter(hosts[0]!, port), await newRouter(hosts[1]!, port)]
  const runner = await newRunner('router.internal', () => hosts, port)
  const ids: string[][] = [[], []]
  for (const [i, router] of [first, second, second, first, second, first].entries()) {
    const of = router === first ? 0 : 1
    ids[of]!.push(await router.ask(String(i)))
  }
  // The ledger has the first three of the log: one of the first router's, two of the second's.
  runner.shipped(3)
  await second.ask('later')
  await first.ask('later')
  await until(() => runner.written() === 8)
  runner.close()
  await until(() => first.shipped.length > 0 && second.shipped.length > 0)
  const left = (lines: string[]) => lines.flatMap(line => /rcp_\d+/.exec(line)?.[0] ?? [])
  expect(left(first.shipped)).toEqual([ids[0]![1], ids[0]![2], 'rcp_8'])
  expect(left(second.shipped)).toEqual([ids[1]![2], 'rcp_7'])
})

test('a runner that drains says so to every router, also to one that comes later', async () => {
  const port = await freePort()
  const hosts = ['127.0.0.1']
  const first = await newRouter('127.0.0.1', port)
  const runner = await newRunner('router.internal', () => hosts, port)
  await until(() => first.router.ready())
  runner.drain()
  await until(async () => !(await first.router.ready()))
  const second = await newRouter('127.0.0.2', port)
  hosts.push('127.0.0.2')
  await until(() => runner.routers() === 2)
  expect(await second.router.ready()).toBe(false)
})
