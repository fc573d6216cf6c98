/** Scale-in protection: held while there is work and no longer, and never in the way of it. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test, vi } from 'vitest'
import { taskProtection } from '#gpu-runners/leaving/protection.ts'

type Said = { method?: string; url?: string; body: Record<string, unknown> }

/** ECS's agent: it keeps the state that it was told last, and answers as the test says. */
async function newAgent() {
  const said: Said[] = []
  const agent = {
    said,
    isProtected: false,
    /** Instead of the ordinary answer, until the test takes it back. */
    refuses: null as { status: number; body: unknown } | null,
    /** Answers wait for this. */
    gate: Promise.resolve(),
  }
  const http = createServer(async (request, response) => {
    let text = ''
    for await (const chunk of request) text += chunk
    const body = JSON.parse(text)
    said.push({ method: request.method, url: request.url, body })
    await agent.gate
    const { status, body: refusal } = agent.refuses ?? { status: 200, body: null }
    if (!refusal) agent.isProtected = body.ProtectionEnabled
    const state = { TaskArn: 'arn', ProtectionEnabled: body.ProtectionEnabled }
    response.writeHead(status).end(JSON.stringify(refusal ?? { protection: state }))
  }).listen(0, '127.0.0.1')
  onTestFinished(() => {
    http.close()
    http.closeAllConnections()
  })
  await once(http, 'listening')
  const lines: string[] = []
  const log = { info() {}, error: (line: string) => void lines.push(line) }
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}/api/x`
  return { agent, lines, protection: taskProtection({ log }, url) }
}

test('the task is protected from the first work to the last, and asks by the agent’s form', async () => {
  const { agent, protection } = await newAgent()
  const first = protection.hold()
  const second = protection.hold()
  await protection.settled()
  first()
  await protection.settled()
  expect(agent.isProtected).toBe(true)
  second()
  await protection.settled()
  expect(agent.isProtected).toBe(false)
  expect(agent.said.map(({ method, url }) => `${method} ${url}`)).toEqual([
    'PUT /api/x/task-protection/v1/state',
    'PUT /api/x/task-protection/v1/state',
  ])
  expect(agent.said.map(({ body }) => body)).toEqual([
    { ProtectionEnabled: true, ExpiresInMinutes: expect.any(Number) },
    { ProtectionEnabled: false },
  ])
})

test('work that begins and ends while the agent is asked leaves it as things stand', async () => {
  const { agent, protection } = await newAgent()
  for (let i = 0; i < 50; i++) {
    const release = protection.hold()
    if (i % 3 === 0) await sleep(1)
    release()
    release()
  }
  await protection.settled()
  expect(agent.isProtected).toBe(false)
  protection.hold()
  await protection.settled()
  expect(agent.isProtected).toBe(true)
})

test('work does not wait for an agent that does not answer', async () => {
  const { agent, protection } = await newAgent()
  const opened = Promise.withResolvers<void>()
  agent.gate = opened.promise
  protection.hold()()
  opened.resolve()
  await protection.settled()
  expect(agent.isProtected).toBe(false)
})

test.each([
  ['an error', 500, { error: { Code: 'ServerException', Message: 'x' } }],
  ['a failure', 200, { failure: { Arn: 'arn', Reason: 'DEPLOYMENT_BLOCKED' } }],
  ['nonsense', 200, 'x'],
])(
  '%s of the agent is one line in the log, and tried again until it is told',
  async (_, status, body) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    const { agent, lines, protection } = await newAgent()
    agent.refuses = { status, body }
    protection.hold()
    await protection.settled()
    await vi.advanceTimersByTimeAsync(6_000)
    await protection.settled()
    expect(agent.isProtected).toBe(false)
    expect(lines).toEqual(['runner.not_protected'])
    agent.refuses = null
    await vi.advanceTimersByTimeAsync(6_000)
    await protection.settled()
    expect(agent.isProtected).toBe(true)
  },
)

test('protection is renewed before it ends, for as long as the work lasts', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  onTestFinished(() => void vi.useRealTimers())
  const { agent, protection } = await newAgent()
  const release = protection.hold()
  await protection.settled()
  const { ExpiresInMinutes: minutes } = agent.said[0]!.body as { ExpiresInMinutes: number }
  await vi.advanceTimersByTimeAsync(minutes * 60_000 - 1)
  await protection.settled()
  expect(agent.said.length).toBeGreaterThan(1)
  release()
  await protection.settled()
  const asked = agent.said.length
  await vi.advanceTimersByTimeAsync(minutes * 60_000)
  expect(agent.said).toHaveLength(asked)
  expect(agent.isProtected).toBe(false)
})
