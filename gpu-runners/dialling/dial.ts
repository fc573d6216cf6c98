/**
 * Keeps a channel to every router there is. A name may stand for several: it is looked up again and again,
 * a router that is new in it is dialled, and one that is gone from it is not dialled any more.
 */
import { lookup } from 'node:dns/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Channel } from '#platform/channel/channel.ts'
import type { Machine } from '#platform/channel/hello.ts'
import type { Address } from '#platform/channel/transport.ts'
import { type Link, type LinkDeps, openLink, type Served } from './link.ts'

/** Half of the time for which a router's address may be remembered: a new one is there within seconds. */
const LOOKUP_MS = 5_000
const LOOKUP_RETRY_MS = 500

export type Dialled = Pick<Link, 'announce' | 'shipped' | 'drain' | 'inFlight' | 'close'> & {
  /** Routers that there is a channel to. */
  routers(): number
}

export function dialRouters(
  deps: LinkDeps,
  o: {
    address: Address
    key: string
    runner: string
    machine: Machine
    serve(channel: Channel): Served
    /** The addresses that a name stands for now; the system's resolver, if not given. */
    resolve?(host: string): Promise<string[]>
    lookupMs?: number
  },
): Dialled {
  const links = new Map<string, Link>()
  let wanted = new Set<string>()
  let warm: string[] = []
  let isDraining = false
  const closing = new AbortController()
  const { signal } = closing

  function open(name: string, address: Address): void {
    const isWanted = () => wanted.has(name)
    const link = openLink(deps, { ...o, address, isWanted, closing: signal })
    link.announce(warm)
    if (isDraining) link.drain()
    links.set(name, link)
    void link.ended.then(() => links.delete(name))
  }

  /**
   * One that left the name serves until it ends its channel: names change before routers go, and a name
   * that is empty for a moment must not cost what works.
   */
  function onResolved(hosts: string[], port: number): void {
    wanted = new Set(hosts)
    for (const host of hosts) if (!links.has(host)) open(host, { host, port })
  }

  async function keepLooking(host: string, port: number): Promise<void> {
    let isTold = false
    while (!signal.aborted) {
      let pauseMs = o.lookupMs ?? LOOKUP_MS
      try {
        const hosts = await (o.resolve ?? everyAddress)(host)
        if (signal.aborted) return
        if (hosts.length > 0) onResolved(hosts, port)
        isTold = false
      } catch (error) {
        if (!isTold) deps.log.error('runner.router_unknown', { host, error: String(error) })
        isTold = true
        pauseMs = Math.min(pauseMs, LOOKUP_RETRY_MS)
      }
      await sleep(pauseMs, undefined, { signal }).catch(() => {})
    }
  }

  const { address } = o
  if ('path' in address) {
    wanted.add(address.path)
    open(address.path, address)
  } else void keepLooking(address.host, address.port)

  const all = () => [...links.values()]
  return {
    announce(digests) {
      warm = digests
      for (const link of all()) link.announce(digests)
    },
    shipped(total) {
      for (const link of all()) link.shipped(total)
    },
    drain() {
      isDraining = true
      for (const link of all()) link.drain()
    },
    inFlight: () => all().reduce((sum, link) => sum + link.inFlight(), 0),
    routers: () => all().filter(link => link.isUp()).length,
    close() {
      closing.abort()
      for (const link of all()) link.close()
    },
  }
}

async function everyAddress(host: string): Promise<string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address)
}
