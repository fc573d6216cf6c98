/** Requests to the control API as the edge signs them, handed over by the gateway. */
import {
  openSigner,
  type Place,
  placeKey,
  sha256Hex,
  TOKEN_HEADER,
} from '#core/internal/signing.ts'
import { mint } from '#core/tenants/tenants.ts'
import type { TraceContext } from '#core/trace.ts'
import { openDatabase } from '#platform/db/postgres.ts'
import { newId } from '#schemas/ids.ts'
import { callOf, newTenant } from '#tests/caller.ts'
import { type Cloud, SECRET } from './cloud.ts'
import { eventOf } from './gateway.ts'
import type { Host } from './host.ts'

const log = { info() {}, error() {} }

export type Asked = {
  body?: Buffer
  type?: string
  as?: Place | null
  headers?: Record<string, string>
  /** Where it stands in a trace. */
  trace?: TraceContext
}
// biome-ignore lint/suspicious/noExplicitAny: each route has a reply of its own
export type Answered = { status: number; headers: Record<string, string>; text: string; json: any }

/** A tenant, made as the platform makes its first one. */
export async function tenantIn(cloud: Cloud) {
  const db = openDatabase({ url: cloud.appUrl, log })
  try {
    return await newTenant(db)
  } finally {
    await db.close()
  }
}

/** The key of the first tenant, which a deployment's own command makes. */
export async function firstKey(functionsUrl: string): Promise<string> {
  const { key, publicId, hash } = await mint()
  const path = '/internal/first'
  const first = { tenantId: newId('tenant'), keyId: newId('key'), name: 'first', publicId, hash }
  const body = JSON.stringify(first)
  const signer = await openSigner('supervisor', await placeKey(SECRET, 'supervisor'))
  const claims = { call: null, method: 'POST', path, body: await sha256Hex(body) }
  const token = await signer.sign(claims, Date.now())
  const headers = { [TOKEN_HEADER]: token, 'content-type': 'application/json' }
  const reply = await fetch(functionsUrl + path, { method: 'POST', headers, body })
  if (reply.status !== 200) throw new Error(await reply.text())
  return key
}

/** A caller of that tenant with every scope. `as: null` sends the request unsigned. */
export async function callerOf(host: Host, tenantId: Parameters<typeof callOf>[0]) {
  return async (method: string, url: string, asked: Asked = {}): Promise<Answered> => {
    const { body = Buffer.alloc(0), type = 'application/json', as = 'edge' } = asked
    const headers: Record<string, string> = { 'content-type': type, ...asked.headers }
    if (as) {
      const signer = await openSigner(as, await placeKey(SECRET, as))
      const call = as === 'edge' ? { ...callOf(tenantId), trace: asked.trace } : null
      const seal = Buffer.alloc(32).toString('base64url')
      const claims = { call, method, path: url, body: await sha256Hex(body), seal }
      headers[TOKEN_HEADER] = await signer.sign(claims, Date.now())
    }
    const outcome = await host.invoke(eventOf({ url, method, headers, body }))
    if ('fault' in outcome) throw new Error(JSON.stringify(outcome.fault))
    const reply = outcome.value as {
      statusCode: number
      headers: Record<string, string>
      body: string
      isBase64Encoded: boolean
    }
    const text = Buffer.from(reply.body, reply.isBase64Encoded ? 'base64' : 'utf8').toString()
    return { status: reply.statusCode, headers: reply.headers, text, json: JSON.parse(text) }
  }
}
