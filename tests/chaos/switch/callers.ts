/** Callers who hold each answer against the version that it names. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client, Reply } from '../client.ts'
import type { Random } from '../random.ts'
import { MODEL, question, type Version } from './versions.ts'

const CALLERS = 16
const PAUSE_MS = [2, 12] as const
const ROWS_MAX = 4

export type Book = {
  requests: number
  /** Requests that got no answer, or one that says no: the callers did nothing wrong. */
  dropped: number
  /** Answers whose values are not those of the version that they name, or that name two. */
  mixed: number
  /** What went wrong, and how often. */
  why: Map<string, number>
  byVersion: Map<number, number>
}
export type Asking = { client: Client; key: string; versions: Version[]; book: Book }

export const emptyBook = (): Book => ({
  requests: 0,
  dropped: 0,
  mixed: 0,
  why: new Map(),
  byVersion: new Map(),
})

export function startCallers(asking: Asking, random: Random) {
  const stopping = new AbortController()
  const { signal } = stopping
  const loops = Array.from({ length: CALLERS }, async () => {
    while (!signal.aborted) {
      await askOnce(asking, random.int(1, ROWS_MAX))
      await sleep(random.int(...PAUSE_MS), undefined, { signal }).catch(() => {})
    }
  })
  return {
    async stop() {
      stopping.abort()
      await Promise.all(loops)
    },
  }
}

let serial = 0

/** One request to the model by its name alone. Returns the version that answered, or null. */
export async function askOnce({ client, key, versions, book }: Asking, rows = 1) {
  const { data, body } = question(serial++, rows)
  book.requests++
  const path = `/v2/models/${MODEL}/infer`
  const reply = await client.once({ key, method: 'POST', path, body }).catch((e: Error) => e)
  if (reply instanceof Error) return drop(book, `no answer: ${reply.message}`)
  if (reply.status !== 200) return drop(book, `${reply.status} ${reply.body.toString()}`)
  const version = namedBy(reply, versions)
  if (version === null) return mix(book, 'version and digest are not of one version')
  const given: number[] = JSON.parse(reply.body.toString()).outputs[0].data
  const isRight =
    given.length === data.length && given.every((value, i) => value === data[i]! + version.adds)
  if (!isRight) return mix(book, `what version ${version.number} said is not what it says`)
  count(book.byVersion, version.number)
  return version
}

function namedBy(reply: Reply, versions: Version[]): Version | null {
  const { model_version } = JSON.parse(reply.body.toString())
  const version = versions.find(({ number }) => String(number) === model_version)
  return version && reply.headers['galley-model-digest'] === version.digest ? version : null
}

function drop(book: Book, why: string): null {
  book.dropped++
  count(book.why, why.slice(0, 240))
  return null
}

function mix(book: Book, why: string): null {
  book.mixed++
  count(book.why, why)
  return null
}

function count<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}
