/** A router behind a real socket, and runners that do as a test says. */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createConnection, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, onTestFinished } from 'vitest'
import type { InferenceCall, Servable } from '#core/deps.ts'
import { openSigner, openVerifier, placeKey } from '#core/internal/signing.ts'
import { receiptLine } from '#core/usage/receipt-log.ts'
import { FRAME } from '#gpu-runners/online/frames.ts'
import { digestMark, readInfer, replyHead, type Shared } from '#gpu-runners/online/messages.ts'
import type { Answer, Question } from '#gpu-runners/online/questions.ts'
import { createRouter } from '#gpu-runners/router.ts'
import { type Channel, fromJsonPart, jsonPart, openChannel } from '#platform/channel/channel.ts'
import * as hello from '#platform/channel/hello.ts'
import { newId } from '#schemas/ids.ts'
import { callOf, systemClock as clock } from '#tests/caller.ts'

export const SECRET = 's'.repeat(40)
export const runnerKey = await placeKey(SECRET, 'runner')
const verifier = await openVerifier({ runner: runnerKey })
const log = { info() {}, error() {} }
const folder = mkdtempSync(join(tmpdir(), 'galley-router-'))
afterAll(() => rmSync(folder, { recursive: true }))
let sockets = 0

/** A router behind a real socket, as runners find it. */
export function newRouter(o: { coldS?: number; deafFor?: number } = {}) {
  const shipped: unknown[][] = []
  const calls: (string | null)[] = []
  let joined = 0
  const { router, attach, readings, close } = createRouter({
    clock,
    log: { ...log, info: event => void (event === 'router.runner_joined' && joined++) },
    verifier,
    ship: async lines => void shipped.push(JSON.parse(lines)),
    callRunner: async hardware => {
      calls.push(hardware)
      if (calls.length <= (o.deafFor ?? 0)) throw new Error('nobody hears')
      return { coldS: o.coldS ?? null }
    },
  })
  const path = join(folder, String(sockets++))
  const server = createServer(attach).listen(path)
  onTestFinished(() => {
    server.close()
    close()
  })
  return { router, shipped, calls, path, readings, joined: () => joined }
}
export type Under = ReturnType<typeof newRouter>

/** All that router and runners have said to each other by now is heard: each answers what it is asked behind it. */
export async function allIsHeard({ readings }: Under): Promise<void> {
  await readings()
}

export async function helloOf(name: string, key = runnerKey, machine?: hello.Machine) {
  const signer = await openSigner('runner', key)
  return JSON.parse(String(await hello.helloOf(signer, clock, name, machine)))
}

export type Asked = {
  id: number
  body: string
  deadline: number
  requestId: string
  digest: string
}
export async function connect({ path }: Under): Promise<Socket> {
  const socket = createConnection(path)
  await once(socket, 'connect')
  return socket
}

/** A runner that does as the test says; it keeps what it is asked. `loadsAtOnce`: until the test says otherwise. */
export async function dial(
  router: Under,
  name: string,
  warm: string[] = [],
  { hello, loadsAtOnce = true }: { hello?: unknown; loadsAtOnce?: boolean } = {},
) {
  const ours = await connect(router)
  const joinedBefore = router.joined()
  const asked: Asked[] = []
  const canceled: number[] = []
  const contexts = new Map<number, Servable>()
  const loads: string[] = []
  const questions: number[] = []
  /** What it says to a load; null: nothing, until the test says it. */
  let loadAnswer: Answer | null = loadsAtOnce ? { ok: true } : null
  const onQuestion = (id: number, asked: Question) => {
    if (asked.do === 'measure') channel.send(FRAME.answer, id, [jsonPart({ ok: true })])
    if (asked.do !== 'load') return
    loads.push(asked.model.digest)
    if (loadAnswer) channel.send(FRAME.answer, id, [jsonPart(loadAnswer)])
    else questions.push(id)
  }
  let ended = false
  let onAsked = (_: Asked) => {}
  const channel: Channel = openChannel(ours, {
    frame(type: number, id, payload) {
      if (type === FRAME.cancel) canceled.push(id)
      if (type === FRAME.context) contexts.set(id, fromJsonPart<Shared>(payload).model)
      if (type === FRAME.ask) onQuestion(id, fromJsonPart<Question>(payload))
      if (type !== FRAME.infer) return
      const { head, body } = readInfer(payload)
      const { digest } = contexts.get(head.context)!
      const { deadline, requestId } = head
      const one = { id, body: body.toString(), deadline, requestId, digest }
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
  const answer = ({ id, body, digest }: Asked, computeUs = 2) => {
    const receiptId = `rcp_${body}`
    const made = digestMark(digest)
    const head = replyHead({ jsonLength: null, line: line(receiptId), receiptId, computeUs, made })
    channel.send(FRAME.reply, id, [head, Buffer.from(`${name} did ${body}`)])
  }
  return {
    name,
    asked,
    canceled,
    loads,
    onLoad(answer: Answer | null) {
      loadAnswer = answer
    },
    answerLoads(answer: Answer) {
      for (const id of questions.splice(0)) channel.send(FRAME.answer, id, [jsonPart(answer)])
    },
    warm: (digests: string[]) => channel.send(FRAME.warm, 0, [jsonPart(digests)]),
    channel,
    answer,
    isEnded: () => ended,
    answerAll() {
      onAsked = one => answer(one)
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
    pause: () => {
      onAsked = () => {}
    },
    die: () => ours.destroy(),
  }
}

export const caller = callOf(newId('tenant'))
export function callFor(
  body: string,
  more: { digest?: string; deadlineMs?: number } = {},
): InferenceCall {
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
export const ask = async (router: Under, body: string, more?: Parameters<typeof callFor>[1]) =>
  Buffer.from((await router.router.infer(callFor(body, more), null)).body).toString()

export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(2)
}
