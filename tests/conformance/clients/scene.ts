/** What the clients of others find: requests as any program sends them, by fetch alone. */
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { Product } from '../../../bench/product.ts'

export type Asked = Pick<Product, 'url' | 'key'>
export type Shown = {
  id: string
  source: string
  type: string
  time: string
  data: Record<string, unknown>
}

const FOUND_MS_MAX = 20_000

/** A JSON request that must succeed; its body. */
export async function ask<T>(
  { url, key }: Asked,
  method: string,
  path: string,
  body?: unknown,
): Promise<T> {
  const response = await fetch(url + path, {
    method,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
  return JSON.parse(text) as T
}

/** The event, once the log has it. Rejects when it never does. */
export async function logged(product: Asked, source: string, id: string): Promise<Shown> {
  const until = performance.now() + FOUND_MS_MAX
  const query = new URLSearchParams({ source, id })
  for (;;) {
    try {
      return await ask<Shown>(product, 'GET', `/v1/events/find?${query}`)
    } catch (error) {
      if (performance.now() > until) throw error
      await sleep(50)
    }
  }
}

/** Throws with both when they differ. */
export function mustEqual(found: unknown, wanted: unknown): void {
  if (isDeepStrictEqual(found, wanted)) return
  throw new Error(`found  ${JSON.stringify(found)}\nwanted ${JSON.stringify(wanted)}`)
}
