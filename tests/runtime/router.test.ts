/** The router: every request gets one answer, whatever becomes of the runners and of the callers. */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createConnection, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, expect, onTestFinished, test } from 'vitest'
import type { InferenceCall } from '#core/deps.ts'
import type { AppError } from '#core/error.ts'
import { openSigner, openVerifier, placeKey } from '#core/internal/signing.ts'
import { receiptLine } from '#core/usage/receipt-log.ts'
import { FRAME } from '#gpu-runners/online/frames.ts'
import { readInfer, replyHead } from '#gpu-runners/online/messages.ts'
import { createRouter } from '#gpu-runners/router.ts'
import { type Channel, fromJsonPart, jsonPart, openChannel } from '#platform/channel/channel.ts'
import * as hello from '#platform/channel/hello.ts'
import { newId } from '#schemas/ids.ts'
import { callOf, systemClock as clock } from '#tests/caller.ts'

const SECRET = 's'.repeat(40)
const runnerKey = await placeKey(SECRET, 'runner')
const verifier = await openVerifier({ runner: runnerKey })
const log = { info() {}, error() {} }
const folder = mkdtempSync(join(tmpdir(), 'galley-router-'))
afterAll(() => rmSync(folder, { recursive: true }))
let sockets = 0

/** A router behind a real socket, as runners find it. */

function newRouter() {
  const shipped: unknown[][] = []
  let joined = 0
  const { router, attach, close } = createRouter({
    clock,
    log: { ...log, info: event => void (event === 'router.runner_joined' && joined++) },
    verifier,
    ship: async lines => void shipped.push(JSON.parse(lines)),
  })
  const path = join(folder, String(sockets++))
  const server = createServer(attach).listen(path)
  onTestFinished(() => {
    server.close()
    close()
  })
  return { router, shipped, path, joined: () => joined }
}
type Under = ReturnType<typeof newRouter>

async function helloOf(name: string, key = runnerKey) {
  return JSON.parse(String(await hello.helloOf(await openSigner('runner', key), clock, name)))
}

type Asked = { id: number; body: string; deadline: number; requestId: string }
async function connect({ path }: Under): Promise<Socket> {
  const socket = createConnection(path)
  await once(socket, 'connect')
  return socket
}

/** A runner that does as the test says; it keeps what it is asked. */
async function dial(router: Under, name: string, warm: string[] = [], hello?: unknown) {
  const ours = await connect(router)
  const joinedBefore = router.joined()
  const asked: Asked[] = []
  const canceled: number[] = []
  let ended = false
  let onAsked = (_: Asked) => {}
  const channel: Channel = openChannel(ours, {
    frame(type: number, id, payload) {
      if (type === FRAME.cancel) canceled.push(id)
      if (type !== FRAME.infer) return
      const { head, body } = readInfer(payload)
      const one = { id, body: body.toString(), deadline: head.deadline, requestId: head.requestId }
      asked.push(one)
      onAsked(one)
    },
    end: () => {
      ended = true
    },
  })
  channel.send(FRAME.hello, 0, [jsonPart(hello ?? (await helloOf(name)))])
  channel.send(FRAME.warm, 0, [jsonPart(warm)])
  if (!hello) await until(() => router.joined() > joinedBefore)
  const line = (receiptId: string) =>
    receiptLine(0, {
      id: receiptId,
      work: newId('request'),
      at: 1,
      rows: 1,
      computeUs: 2,
      bytesIn: 3,
      bytesOut: 4,
    })
  const answer = ({ id, body }: Asked) => {
    const head = replyHead({
      jsonLength: null,
      line: line(`rcp_${body}`),
      receiptId: `rcp_${body}`,
    })
    channel.send(FRAME.reply, id, [head, Buffer.from(`${name} did ${body}`)])
  }
  return {
    name,
    asked,
    canceled,
    channel,
    answer,
    isEnded: () => ended,
    answerAll() {
      onAsked = answer
      for (const one of asked.splice(0)) answer(one)
    },
    refuseAll(error: object) {
      for (const { id } of asked.splice(0)) channel.send(FRAME.error, id, [jsonPart(error)])
    },
    shipped(count: number) {
      const bytes = Buffer.alloc(8)
      bytes.writeDoubleLE(count)
      channel.send(FRAME.shipped, 0, [bytes])
    },
    die: () => ours.destroy(),
  }
}

const caller = callOf(newId('tenant'))
function callFor(body: string, more: { digest?: string; deadlineMs?: number } = {}): InferenceCall {
  const { digest = 'd', deadlineMs = 30_000 } = more
  return {
    call: { caller: caller.caller, requestId: newId('request') },
    model: {
      model: 'm',
      version: 1,
      digest,
      manifest: { graph: 'm.onnx', files: [] },
      signature: { inputs: [], outputs: [], batching: 'invariant' },
    },
    body: Buffer.from(body),
    jsonLength: null,
    deadline: clock.now() + deadlineMs,
  }
}
const ask = async (router: Under, body: string, more?: Parameters<typeof callFor>[1]) =>
  Buffer.from((await router.router.infer(callFor(body, more), null)).body).toString()

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(2)
}

test('concurrent callers each get their own answer, in whatever order the runner gives them', async () => {
  const router = newRouter()
  const runner = await dial(router, 'a')
  const answers = Promise.all(Array.from({ length: 100 }, (_, i) => ask(router, String(i))))
  await until(() => runner.asked.length === 100)
  runner.asked.reverse()
  runner.answerAll()
  expect(await answers).toEqual(Array.from({ length: 100 }, (_, i) => `a did ${i}`))
})

test('a lost runner’s requests are answered by the next, under the same request ids', async () => {
  const router = newRouter()
  const first = await dial(router, 'a')
  const answers = Promise.all(['1', '2', '3'].map(body => ask(router, body)))
  await until(() => first.asked.length === 3)
  first.answer(first.asked[0]!)
  await sleep(10)
  first.die()
  const second = await dial(router, 'b')
  second.answerAll()
  expect(await answers).toEqual(['a did 1', 'b did 2', 'b did 3'])
  const ids = first.asked.slice(1).map(one => one.requestId)
  expect(new Set(ids).size).toBe(2)
})

test('the receipts of a lost runner that the ledger may not have are shipped from the router’s copies, the others are not', async () => {
  const router = newRouter()
  const runner = await dial(router, 'a')
  runner.answerAll()
  for (const body of ['1', '2', '3']) await ask(router, body)
  runner.shipped(2)
  await ask(router, '4')
  runner.die()
  await until(() => router.shipped.length > 0)
  const [lines] = router.shipped
  expect(lines!.slice(1).map(line => (line as unknown[])[1])).toEqual(['rcp_3', 'rcp_4'])
  expect(lines![0]).toMatchObject({
    context: 0,
    is: { tenantId: caller.caller.tenantId, model: 'm', kind: 'online' },
  })
})

test('a runner that has the model warm is asked before one that has not', async () => {
  const router = newRouter()
  const cold = await dial(router, 'cold')
  const warm = await dial(router, 'warm', ['d2'])
  for (const runner of [cold, warm]) runner.answerAll()
  expect(await ask(router, 'x', { digest: 'd2' })).toBe('warm did x')
})

test('a runner that drains gets nothing new and finishes what it has', async () => {
  const router = newRouter()
  const leaving = await dial(router, 'leaving')
  const begun = ask(router, '1')
  await until(() => leaving.asked.length === 1)
  leaving.channel.send(FRAME.drain, 0, [])
  await until(async () => !(await router.router.ready()))
  const next = ask(router, '2')
  const staying = await dial(router, 'staying')
  staying.answerAll()
  expect(await next).toBe('staying did 2')
  leaving.answerAll()
  expect(await begun).toBe('leaving did 1')
})

test('an error of the runner reaches the caller with its code and text', async () => {
  const router = newRouter()
  const runner = await dial(router, 'a')
  const asking = ask(router, '1')
  await until(() => runner.asked.length === 1)
  runner.refuseAll({ code: 'overloaded', public: 'The queue is full.', retryAfterS: 3 })
  await expect(asking).rejects.toMatchObject({
    code: 'overloaded',
    public: 'The queue is full.',
    retryAfterS: 3,
  })
})

describe('deadlines and departures', () => {
  test('a request whose deadline has passed is not sent to a runner', async () => {
    const router = newRouter()
    const runner = await dial(router, 'a')
    await expect(ask(router, '1', { deadlineMs: -1 })).rejects.toMatchObject({
      code: 'deadline_exceeded',
    })
    expect(runner.asked).toEqual([])
  })

  test('a request that a runner keeps past its deadline is answered with 504, and the runner told to drop it', async () => {
    const router = newRouter()
    const runner = await dial(router, 'hangs')
    await until(() => router.router.ready())
    await expect(ask(router, '1', { deadlineMs: 50 })).rejects.toMatchObject({
      code: 'deadline_exceeded',
      status: 504,
    })
    await until(() => runner.canceled.length === 1)
    expect(runner.canceled).toEqual([runner.asked[0]!.id])
  })

  test('a request whose deadline passes while no runner is there is answered with 504', async () => {
    const router = newRouter()
    await expect(ask(router, '1', { deadlineMs: 50 })).rejects.toMatchObject({
      code: 'deadline_exceeded',
    })
  })

  test('the work of a caller that has left is canceled where it runs', async () => {
    const router = newRouter()
    const runner = await dial(router, 'a')
    const caller = new AbortController()
    const asking = router.router.infer(callFor('1'), caller.signal)
    await until(() => runner.asked.length === 1)
    caller.abort()
    await until(() => runner.canceled.length === 1)
    runner.refuseAll({ code: 'canceled', public: 'left' })
    await expect(asking).rejects.toMatchObject({ code: 'canceled' })
  })

  test('the work of a caller that has left is not done over when its runner is lost', async () => {
    const router = newRouter()
    const first = await dial(router, 'a')
    const caller = new AbortController()
    const asking = router.router.infer(callFor('1'), caller.signal)
    await until(() => first.asked.length === 1)
    const second = await dial(router, 'b')
    caller.abort()
    first.die()
    await expect(asking).rejects.toMatchObject({ code: 'canceled' })
    expect(second.asked).toEqual([])
  })
})

describe('bounds', () => {
  test('a request under which one runner after the other is lost is given up', async () => {
    const router = newRouter()
    const asking = ask(router, 'poison').catch(error => error)
    for (const name of ['a', 'b', 'c']) {
      const runner = await dial(router, name)
      await until(() => runner.asked.length === 1)
      runner.die()
    }
    expect(await asking).toMatchObject({ code: 'unavailable', retryable: true })
  })

  test('bodies in flight and waiting are bounded: over it callers are told to come back', async () => {
    const router = newRouter()
    const body = new Uint8Array(200 * 2 ** 20)
    const big = () => {
      const call = { ...callFor(''), body }
      return router.router.infer(call, null).catch((error: AppError) => error.code)
    }
    // Nobody reads them: they wait for a runner.
    const waiting = [big(), big()]
    expect(await big()).toBe('overloaded')
    expect(await Promise.race([...waiting, sleep(20).then(() => 'waits')])).toBe('waits')
  })

  test('the wait for a runner ends with the caller', async () => {
    const router = newRouter()
    const caller = new AbortController()
    const asking = router.router.infer(callFor('1'), caller.signal)
    caller.abort()
    await expect(asking).rejects.toMatchObject({ code: 'canceled' })
  })

  test('a runner that speaks nonsense loses its channel and harms nobody', async () => {
    const router = newRouter()
    const odd = await dial(router, 'odd')
    odd.channel.send(FRAME.warm, 0, [Buffer.from('{')])
    await until(odd.isEnded)
    const runner = await dial(router, 'a')
    runner.answerAll()
    expect(await ask(router, '1')).toBe('a did 1')
  })
})

describe('who may dial', () => {
  test.each([
    [
      'with a key of another deployment',
      async () => helloOf('x', await placeKey(`${SECRET}!`, 'runner')),
    ],
    ['with a token for another name', async () => ({ ...(await helloOf('x')), name: 'y' })],
    ['without a token', async () => ({ name: 'x' })],
    ['with something that is no hello', async () => 'nonsense'],
  ])('a runner that says hello %s is dropped', async (_, hello) => {
    const router = newRouter()
    const runner = await dial(router, 'x', [], await hello())
    await until(runner.isEnded)
    expect(await router.router.ready()).toBe(false)
  })

  test('a peer that sends work before it said hello is dropped', async () => {
    const router = newRouter()
    const ours = await connect(router)
    let ended = false
    const channel = openChannel(ours, { frame() {}, end: () => (ended = true) })
    channel.send(FRAME.warm, 0, [jsonPart([])])
    await until(() => ended)
  })

  test('a runner that hangs up while its hello is checked is not taken for one that is there', async () => {
    const router = newRouter()
    for (let turn = 0; turn < 20; turn++) {
      const ours = await connect(router)
      const channel = openChannel(ours, { frame() {}, end() {} })
      channel.send(FRAME.hello, 0, [jsonPart(await helloOf('hasty'))])
      channel.flush()
      ours.destroySoon()
    }
    await sleep(50)
    expect(await router.router.ready()).toBe(false)
  })
})

test('what a request shares with others of its key and version travels once', async () => {
  const router = newRouter()
  const ours = await connect(router)
  const seen: number[] = []
  const contexts: unknown[] = []
  const channel = openChannel(ours, {
    frame(type, id, payload) {
      seen.push(type)
      if (type === FRAME.context) contexts.push(fromJsonPart(payload))
      const head = replyHead({ jsonLength: null, line: '[0]', receiptId: 'rcp' })
      if (type === FRAME.infer) channel.send(FRAME.reply, id, [head])
    },
    end() {},
  })
  channel.send(FRAME.hello, 0, [jsonPart(await helloOf('a'))])
  await Promise.all([ask(router, '1'), ask(router, '2'), ask(router, '3', { digest: 'e' })])
  expect(seen.filter(type => type === FRAME.context)).toHaveLength(2)
  expect(contexts).toMatchObject([{ model: { digest: 'd' } }, { model: { digest: 'e' } }])
})
