/** What a channel runs over: the same frames by socket and by TCP, and over TCP nobody who lacks the key. */
import { once } from 'node:events'
import { createConnection, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { describe, expect, onTestFinished, test } from 'vitest'
import { openChannel } from '#platform/channel/channel.ts'
import {
  type Address,
  addressOf,
  dialChannel,
  listenForChannels,
} from '#platform/channel/transport.ts'
import { freePort } from '../../../bench/product.ts'
import { temporaryFolder } from '../local/process.ts'
import { until } from '../routing/scene.ts'

const KEY = 'k'.repeat(40)
const never = new AbortController().signal
const log = { info() {}, error() {} }

async function addressFor(over: string): Promise<Address> {
  if (over === 'a socket') return { path: join(temporaryFolder(), 's') }
  return { host: '127.0.0.1', port: await freePort() }
}

/** A server whose every stream answers each frame with the same. */
async function echoing(address: Address, errors: string[] = []) {
  const streams: Duplex[] = []
  const ours = { ...log, error: (event: string) => void errors.push(event) }
  const server = await listenForChannels({ log: ours }, address, KEY, stream => {
    streams.push(stream)
    const channel = openChannel(stream, {
      frame: (type, id, payload) => channel.send(type, id, [payload]),
      end() {},
    })
  })
  onTestFinished(() => {
    server.close()
    for (const stream of streams) stream.destroy()
  })
  return { streams, server }
}

describe.each(['a socket', 'TCP'])('over %s', over => {
  test('frames of any size come back as they were sent, in their order', async () => {
    const address = await addressFor(over)
    await echoing(address)
    const frames: [number, number, Buffer][] = []
    const stream = await dialChannel(address, KEY, never)
    const channel = openChannel(stream, {
      frame: (...frame) => void frames.push(frame),
      end() {},
    })
    const payloads = [0, 1, 1_000, 70_000, 5_000_000].map((size, i) => Buffer.alloc(size, i + 1))
    for (const [i, payload] of payloads.entries()) channel.send(7, i, [payload])
    await until(() => frames.length === payloads.length)
    for (const [i, payload] of payloads.entries()) {
      expect(frames[i]!.slice(0, 2)).toEqual([7, i])
      expect(frames[i]![2].equals(payload)).toBe(true)
    }
    stream.destroy()
  })

  test('nobody there is an error, and so is giving up', async () => {
    const address = await addressFor(over)
    await expect(dialChannel(address, KEY, never)).rejects.toThrow()
    await echoing(address)
    await expect(dialChannel(address, KEY, AbortSignal.abort())).rejects.toThrow()
  })

  test('a peer that keeps its beat stays, however little is said', async () => {
    const address = await addressFor(over)
    const ended: unknown[] = []
    let beats = 0
    const server = await listenForChannels({ log }, address, KEY, stream => {
      stream.on('data', () => beats++)
      openChannel(
        stream,
        { frame() {}, end: error => ended.push(error) },
        { everyMs: 5, silentMax: 400 },
      )
    })
    const stream = await dialChannel(address, KEY, never)
    const on = {
      frame: () => void ended.push('a beat is no frame'),
      end: () => void ended.push('end'),
    }
    openChannel(stream, on, { everyMs: 5, silentMax: 400 })
    await until(() => beats >= 20)
    expect(ended).toEqual([])
    server.close()
    stream.destroy()
  })

  test('a peer that is silent for its beats is taken to be gone, though its connection stands', async () => {
    const address = await addressFor(over)
    const { streams } = await echoing(address)
    const stream = await dialChannel(address, KEY, never)
    const gone = Promise.withResolvers<unknown>()
    const on = { frame() {}, end: (error?: Error) => gone.resolve(error) }
    openChannel(stream, on, { everyMs: 5, silentMax: 5 })
    await until(() => streams.length === 1)
    streams[0]!.pause()
    // It echoes nothing: a beat reaches nobody, so that no answer comes to it.
    expect(String(await gone.promise)).toContain('silent')
  })
})

describe('over TCP', () => {
  const tcp = async () => ({ host: '127.0.0.1', port: await freePort() })

  test('who has another key is turned away by either side, before a frame', async () => {
    const address = await tcp()
    const errors: string[] = []
    const { streams } = await echoing(address, errors)
    await expect(dialChannel(address, 'another key, as long as any', never)).rejects.toThrow()
    await until(() => errors.includes('channel.refused'))
    expect(streams).toEqual([])
  })

  test('who speaks no TLS reaches nobody, and others are served', async () => {
    const address = await tcp()
    const errors: string[] = []
    const { streams } = await echoing(address, errors)
    const plain = createConnection(address)
    plain.on('error', () => {})
    plain.write('GET / HTTP/1.1\r\n\r\n')
    await once(plain, 'close')
    expect(streams).toEqual([])
    const stream = await dialChannel(address, KEY, never)
    await until(() => streams.length === 1)
    stream.destroy()
  })

  test('nothing of what is said can be read on the way, and what was recorded says nothing again', async () => {
    const address = await tcp()
    const { streams } = await echoing(address)
    const recorded: Buffer[] = []
    const between = createServer((near: Socket) => {
      const far = createConnection(address)
      near.on('data', chunk => recorded.push(chunk))
      near.pipe(far).pipe(near)
      for (const socket of [near, far]) socket.on('error', () => {})
    }).listen(0, '127.0.0.1')
    onTestFinished(() => void between.close())
    await once(between, 'listening')
    const { port } = between.address() as { port: number }
    const stream = await dialChannel({ host: '127.0.0.1', port }, KEY, never)
    const secret = 'a token that nobody may see'
    const heard = Promise.withResolvers<string>()
    const channel = openChannel(stream, {
      frame: (_, __, payload) => heard.resolve(String(payload)),
      end() {},
    })
    channel.send(1, 0, [Buffer.from(secret)])
    expect(await heard.promise).toBe(secret)
    expect(Buffer.concat(recorded).includes(secret)).toBe(false)
    stream.destroy()
    const before = streams.length
    const again = createConnection(address)
    again.on('error', () => {})
    for (const chunk of recorded) again.write(chunk)
    again.resume()
    await once(again, 'close')
    expect(streams).toHaveLength(before)
  })

  test('a router that does not have the key is not spoken to', async () => {
    const address = await tcp()
    const impostor = createServer(socket => socket.resume().on('error', () => {})).listen(address)
    onTestFinished(() => void impostor.close())
    await once(impostor, 'listening')
    const given = new AbortController()
    const dialling = dialChannel(address, KEY, given.signal)
    setTimeout(() => given.abort(), 50)
    await expect(dialling).rejects.toThrow()
  })
})

test.each([
  ['run/router.sock', { path: 'run/router.sock' }],
  ['./s', { path: './s' }],
  ['router.dev.galley.internal:7070', { host: 'router.dev.galley.internal', port: 7070 }],
  ['127.0.0.1:1', { host: '127.0.0.1', port: 1 }],
  ['[::1]:7070', { host: '::1', port: 7070 }],
])('%s is an address', (text, address) => {
  expect(addressOf(text)).toEqual(address)
})

test.each(['', 'router', 'router:', ':7070', 'router:0', 'router:65536', 'router:seven'])(
  '"%s" is none, and the error says what would be one',
  text => expect(() => addressOf(text)).toThrow('host:port'),
)
