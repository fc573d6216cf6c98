/** The edge on Node: replies that are written at once are what is told of them. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Context } from 'hono'
import { expect, onTestFinished, test } from 'vitest'
import { nodeHttp, nodeListener } from '#local/places/node-http.ts'

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
