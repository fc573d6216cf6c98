/** The places behind the edge, asked by whoever is on this machine. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { beforeAll, describe, expect, test } from 'vitest'
import { openSigner, placeKey, sha256Hex, TOKEN_HEADER } from '#core/internal/signing.ts'
import { addressOf, dialChannel } from '#platform/channel/transport.ts'
import { newId } from '#schemas/ids.ts'
import { ok, refused } from './actions.ts'
import { product } from './product.ts'
import { read } from './sockets.ts'

const HUNG_UP = 0

describe('the places behind the edge take nothing unsigned', () => {
  let ports: { port: number; place: string }[]
  let secret: string
  beforeAll(async () => {
    const { dataFolder, url, grpc } = await product()
    secret = JSON.parse(readFileSync(join(dataFolder, 'secrets.json'), 'utf8')).signing_key
    // The doors for callers.
    const open = [new URL(url).port, grpc.slice(grpc.lastIndexOf(':') + 1)].map(Number)
    ports = listening(dataFolder).filter(({ port }) => !open.includes(port))
  })

  const INTERNAL = [
    'keys',
    'first',
    'receipts',
    'queue',
    'steps/lease',
    'steps/finish',
    'models/resolve',
    'models/switch',
    'models/switch-refused',
    'models/switch-observed',
    'models/rollout-observed',
    'validations/judge',
  ]
  const PATHS = [
    ...INTERNAL.map(path => `/internal/${path}`),
    '/internal/blobs/x',
    '/v1/keys',
    '/objects/tenant/ten_x/leaseRate',
    '/infer?model=x&deadline=1&head=0',
  ]
  async function statusOf(
    port: number,
    path: string,
    headers: Record<string, string>,
    method = 'POST',
  ) {
    const body = method === 'POST' ? '{}' : undefined
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      method,
      headers,
      body,
    }).catch(() => null)
    await response?.text()
    // Where runners dial in nobody speaks HTTP, and who does is hung up on.
    return response?.status ?? HUNG_UP
  }
  async function signed(
    place: 'edge' | 'runner' | 'supervisor',
    path: string,
    more: object = {},
    key = secret,
  ) {
    const signer = await openSigner(place, await placeKey(key, place))
    const claims = { call: null, method: 'POST', path, body: await sha256Hex('{}'), ...more }
    return { [TOKEN_HEADER]: await signer.sign(claims, Date.now()) }
  }

  test('they listen on this machine alone, and refuse everything unsigned', async () => {
    expect(ports.length).toBeGreaterThanOrEqual(1)
    for (const { port, place } of ports) {
      // The edge's own simulator has doors of its own besides.
      const refusals = place.includes('workerd')
        ? [400, 401, 403, 404, 405, 500]
        : place.includes('router')
          ? [401, 404, 405, 413, HUNG_UP]
          : [401, 404, 405, 413]
      for (const path of PATHS) {
        for (const method of ['POST', 'GET']) {
          const status = await statusOf(port, path, {}, method)
          expect([place, path, status, refusals.includes(status)]).toEqual([
            place,
            path,
            status,
            true,
          ])
        }
      }
    }
  })

  test('a token that is forged, of another request, of another deployment or of the wrong place is refused', async () => {
    const path = '/internal/keys'
    const good = await signed('edge', path)
    const functions: number[] = []
    for (const { port } of ports)
      if ((await statusOf(port, path, good)) === 200) functions.push(port)
    expect(functions).toHaveLength(1)
    const [port] = functions as [number]
    const token = good[TOKEN_HEADER]!
    const refusals: Record<string, string>[] = [
      { [TOKEN_HEADER]: `${token.slice(0, -4)}AAAA` },
      await signed('edge', '/internal/receipts'),
      await signed('edge', path, { method: 'PUT' }),
      await signed('edge', path, { body: await sha256Hex('{"a":1}') }),
      await signed('edge', path, {}, 'another deployment’s secret, as long as any'),
      await signed('runner', path),
      await signed('supervisor', path),
    ]
    for (const headers of refusals) expect(await statusOf(port, path, headers)).toBe(401)
    expect(await statusOf(port, '/internal/first', await signed('edge', '/internal/first'))).toBe(
      401,
    )
    expect(await statusOf(port, '/v1/keys', await signed('runner', '/v1/keys'))).toBe(401)
  })

  /** The router of its own is behind TLS, whose key this one has: what is tried is what it says next. */
  async function connected(socketName: string): Promise<Duplex> {
    const { dataFolder, edge } = await product()
    if (edge === 'node' || socketName !== 'router.sock') {
      return connect({ path: join(dataFolder, 'run', socketName) })
    }
    const key = await placeKey(secret, 'runner')
    return dialChannel(addressOf(dialledBy(dataFolder)), key, new AbortController().signal)
  }

  /** What the place behind a socket says to a caller that signs so; empty: it hangs up. */
  async function greeted(socketName: string, place: 'edge' | 'runner', key: string) {
    const { dataFolder } = await product()
    const signer = await openSigner(place, await placeKey(key, place))
    const claims = { call: null, method: 'POST', path: '/hello', body: await sha256Hex('spy') }
    const hello = JSON.stringify({ token: await signer.sign(claims, Date.now()), name: 'spy' })
    const frame = Buffer.alloc(9 + Buffer.byteLength(hello))
    frame.writeUInt32LE(frame.length - 4, 0)
    frame[4] = 1
    frame.write(hello, 9)
    const socket = await connected(socketName)
    const said = read(socket)
    socket.write(frame)
    return said
  }

  test('who dials the router or the objects with a wrong key is dropped, and they go on', async () => {
    const { edge } = await product()
    const wrong = 'a wrong secret, as long as any other is'
    expect(await greeted('router.sock', 'runner', wrong)).toBe('')
    expect(await greeted('router.sock', 'edge', secret)).toBe('')
    if (edge === 'node') {
      expect(await greeted('objects.sock', 'edge', wrong)).toBe('')
      expect(await greeted('objects.sock', 'runner', secret)).toBe('')
    }
    expect(await ok('GET', '/health/ready')).toEqual({ ready: true })
    await refused('POST', `/v2/models/${newId('run')}/infer`, {}, 404, 'not_found')
  })
})

/** What this product's runner was told of its router. */
function dialledBy(dataFolder: string): string {
  for (const pid of readdirSync('/proc').filter(name => /^\d+$/.test(name))) {
    try {
      const env = readFileSync(`/proc/${pid}/environ`, 'utf8')
      if (!env.includes(`GALLEY_DATA=${dataFolder}\0`)) continue
      const found = /(?:^|\0)GALLEY_ROUTER=([^\0]*)/.exec(env)
      if (found) return found[1]!
    } catch {
      // It ended, or is not ours to look into.
    }
  }
  throw new Error('no place of this product was told of a router')
}

/** Ports on which processes of this data folder listen, and on which address. */
function listening(dataFolder: string): { port: number; place: string }[] {
  const inodes = new Map<string, string>()
  for (const pid of readdirSync('/proc').filter(name => /^\d+$/.test(name))) {
    try {
      const env = readFileSync(`/proc/${pid}/environ`, 'utf8')
      if (!env.includes(`GALLEY_DATA=${dataFolder}\0`)) continue
      const place = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
      for (const fd of readdirSync(`/proc/${pid}/fd`))
        inodes.set(socketOf(`/proc/${pid}/fd/${fd}`), place)
    } catch {
      // It ended, or is not ours to look into.
    }
  }
  const lines = readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1, -1)
  return lines.flatMap(text => {
    const [, local, , state, , , , , , inode] = text.trim().split(/\s+/)
    const place = inodes.get(inode!)
    if (state !== '0A' || !place) return []
    const [address, port] = local!.split(':') as [string, string]
    expect([place, address]).toEqual([place, '0100007F'])
    return [{ port: Number.parseInt(port, 16), place }]
  })
}

function socketOf(path: string): string {
  return /^socket:\[(\d+)\]$/.exec(readlinkSync(path))?.[1] ?? path
}
