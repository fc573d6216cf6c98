/** Ports: the public one is checked before anything is started, those between places are chosen here. */

import { randomInt } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { AppError } from '#core/error.ts'

const LOOPBACK = '127.0.0.1'
const LOWEST = 15_000
const TRIES_MAX = 1000

/** The port, or a free one for 0. Throws a sentence when nothing could listen there. */
export async function publicPort(host: string, port: number, flag = '--port'): Promise<number> {
  const chosen = port === 0 ? (await freePorts(1))[0]! : port
  try {
    await close(await listen(host, chosen))
    return chosen
  } catch (error) {
    throw explained(error, host, chosen, flag)
  }
}

/** The port of gRPC: the one asked for, or else the one after the public port, or else a free one. */
export async function grpcPort(
  host: string,
  asked: number | undefined,
  port: number,
): Promise<number> {
  if (asked !== undefined) return publicPort(host, asked, '--grpc-port')
  return publicPort(host, port + 1).catch(() => publicPort(host, 0))
}

/**
 * Ports on loopback that stay ours while a place restarts: below the range from which the system
 * takes ports for outgoing connections, where a client waiting for a dead place could take its port.
 */
export async function freePorts(count: number): Promise<number[]> {
  const held: Server[] = []
  const ports: number[] = []
  for (let tries = 0; ports.length < count; tries++) {
    if (tries === TRIES_MAX)
      throw new AppError('unavailable', { public: 'No port is free on 127.0.0.1.' })
    const port = randomInt(LOWEST, ephemeralFrom())
    const server = await listen(LOOPBACK, port).catch(() => undefined)
    if (!server) continue
    held.push(server)
    ports.push(port)
  }
  await Promise.all(held.map(close))
  return ports
}

function ephemeralFrom(): number {
  try {
    const [low] = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').split(/\s+/)
    return Math.max(LOWEST + 1000, Math.min(Number(low), 32_768))
  } catch {
    return 32_768
  }
}

function listen(host: string, port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen({ host, port, exclusive: true }, () => resolve(server))
  })
}

function close(server: Server): Promise<void> {
  return new Promise(resolve => server.close(() => resolve()))
}

function explained(error: unknown, host: string, port: number, flag: string): AppError {
  const sentences: Record<string, string> = {
    EADDRINUSE: `Port ${port} on ${host} is taken: choose another with ${flag} ${port + 1}, or any free one with ${flag} 0.`,
    EACCES: `This user may not listen on port ${port}: choose one from 1024 on with ${flag}.`,
    EADDRNOTAVAIL: `${host} is no address of this machine: leave --host away, or name one that is.`,
    ENOTFOUND: `${host} is no address of this machine: leave --host away, or name one that is.`,
  }
  const sentence = sentences[(error as NodeJS.ErrnoException).code ?? '']
  return new AppError('invalid_request', {
    public:
      sentence ?? `Cannot listen on ${host}:${port} (${String(error)}): see --host and ${flag}.`,
    cause: error,
  })
}
