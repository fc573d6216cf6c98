/** Commands run in a home of their own, against peers that answer as a test says. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach } from 'vitest'
import { main } from '#sdk/cli/main.ts'
import type { Terminal } from '#sdk/cli/terminal.ts'
import { type Answer, type Asked, type Peer, startPeer } from './sdk-peer.ts'

export const KEY = 'gly_test_secret'

export let folder: string
let undo: (() => Promise<unknown>)[]
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'galley-cli-'))
  undo = [() => rm(folder, { recursive: true })]
})
afterEach(async () => {
  for (const each of undo) await each()
})

export async function peerOf(answer: (asked: Asked) => Answer): Promise<Peer> {
  const peer = await startPeer(answer)
  undo.push(() => peer.close())
  return peer
}

export type Ran = { code: number; out: string; err: string }

/** Runs a command in an empty home, in `folder`, and reads what it writes. */
export async function galley(
  args: string[],
  given: { url?: string; key?: string; input?: string; tty?: boolean } = {},
): Promise<Ran> {
  const { url, key = url && KEY, input = '', tty = false } = given
  const ran = { code: 0, out: '', err: '' }
  const terminal: Terminal = {
    out: async chunk => {
      ran.out += typeof chunk === 'string' ? chunk : Buffer.from(chunk)
    },
    err: text => {
      ran.err += text
    },
    style: (_style, text) => text,
    isOutTty: tty,
    isErrTty: tty,
    isInTty: false,
    errColumns: 80,
    ask: async () => '',
    input: async () => input,
  }
  const configFolder = join(folder, 'config', 'galley')
  const environment = { url, key, profile: undefined, configFolder }
  const place = { environment, cwd: folder, signal: new AbortController().signal }
  ran.code = await main(args, terminal, place)
  return ran
}
