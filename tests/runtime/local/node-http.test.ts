/** The edge on Node: replies that are written at once are what is told of them. */
import { once } from 'node:events'
import { Agent, createServer, get } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Context } from 'hono'
import { expect, onTestFinished, test } from 'vitest'
import { serveHttp } from '#local/places/http-host.ts'
import { nodeHttp, nodeListener } from '#local/places/node-http.ts'
import { freePorts } from '#local/ports.ts'
import { BALANCER_IDLE_S } from '#schemas/cloud/balancer.ts'

test('a reply that is written at once arrives as it is, and whoever counts it sees its own status', async () => {
  const seen: number[] = []
  const answers = [200, 409, 503, 200]
  const listener = nodeListener((_, env) => {
    const status = answers[seen.length]!
    const reply = nodeHttp.reply({ env } as unknown as Context, status, { 'x-a': 'b' }, `${status}`)
    seen.push(reply.status)
    return reply
  })
  const server = createServer(listener).listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  for (const status of answers) {
    const reply = await fetch(`http://127.0.0.1:${port}/`)
    expect([reply.status, reply.headers.get('x-a'), await reply.text()]).toEqual([
      status,
      'b',
      `${status}`,
    ])
  }
  expect(seen).toEqual(answers)
})

test('a reply that is a Response is written from it, also of a status that was written at once before', async () => {
  const listener = nodeListener(() => new Response('later', { status: 409 }))
  const server = createServer(listener).listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const reply = await fetch(`http://127.0.0.1:${port}/`)
  expect([reply.status, await reply.text()]).toEqual([409, 'later'])
})

test('a connection that says nothing is kept for longer than the load balancer keeps it, so that none is closed under a request', async () => {
  const [port] = (await freePorts(1)) as [number]
  const fetch = () => new Response('here')
  const server = await serveHttp({ host: '127.0.0.1', port, fetch })
  onTestFinished(() => server.close())
  const agent = new Agent({ keepAlive: true })
  onTestFinished(() => agent.destroy())
  const [reply] = await once(get({ host: '127.0.0.1', port, agent }), 'response')
  reply.resume()
  const seconds = /timeout=(\d+)/.exec(reply.headers['keep-alive'])?.[1]
  expect(Number(seconds)).toBeGreaterThan(BALANCER_IDLE_S)
})
