/** What an end-to-end test knows of the running product: what a user knows. */
import { inject } from 'vitest'

export type Product = {
  url: string
  grpc: string
  key: string
  dataFolder: string
  /** Of its supervisor. */
  pid: number
  edge: string
  /** Where its spans go: `tests/otlp-receiver.ts`. */
  otlp: string
}

export async function product(): Promise<Product> {
  return inject('product')
}

/** One JSON request with a key; the body is what came back, whatever the status. */
export async function api<T = Record<string, never>>(
  method: string,
  path: string,
  body?: unknown,
  options: { key?: string; headers?: Record<string, string> } = {},
): Promise<{ status: number; headers: Headers; body: T }> {
  const { url, key } = inject('product')
  const raw = body instanceof Uint8Array
  const response = await fetch(url + path, {
    method,
    headers: {
      authorization: `Bearer ${options.key ?? key}`,
      ...(body !== undefined && !raw && { 'content-type': 'application/json' }),
      ...options.headers,
    },
    body:
      body === undefined
        ? undefined
        : raw
          ? (body as Uint8Array<ArrayBuffer>)
          : JSON.stringify(body),
  })
  const text = await response.text()
  return {
    status: response.status,
    headers: response.headers,
    body: (text ? JSON.parse(text) : null) as T,
  }
}
