/**
 * What S3 checks of a request that was signed in its query (AWS Signature Version 4), and of a body against
 * its checksum, written from AWS's documentation: the servers of this machine check neither.
 */
import { createHash, createHmac } from 'node:crypto'
import type { Asked, Fault } from './faulty.ts'

const sha256 = (data: string | Buffer, as: 'hex' | 'base64' = 'hex') =>
  createHash('sha256').update(data).digest(as)
const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest()

/** Null where S3 would let it pass; requests signed in a header are not for this. */
export function refusedByS3(asked: Asked, secret: string, now = Date.now()): Fault | null {
  const url = new URL(asked.url, 'http://s3')
  const given = url.searchParams.get('X-Amz-Signature')
  if (given === null) return asked.headers.authorization ? null : denied('AccessDenied')
  if (signatureOf(asked, url, secret) !== given) return denied('SignatureDoesNotMatch')
  const [, y, mo, d, h, mi, s] =
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(url.searchParams.get('X-Amz-Date')!) ?? []
  const signedAt = Date.UTC(+y!, +mo! - 1, +d!, +h!, +mi!, +s!)
  if (now > signedAt + Number(url.searchParams.get('X-Amz-Expires')) * 1_000)
    return denied('AccessDenied')
  const checksum = asked.headers['x-amz-checksum-sha256']
  if (asked.method === 'PUT' && checksum !== sha256(asked.body, 'base64'))
    return denied('BadDigest', 400)
  return null
}

function signatureOf({ method, headers }: Asked, url: URL, secret: string): string {
  const query = url.searchParams
  const names = query.get('X-Amz-SignedHeaders')!.split(';')
  const signed = [...query.entries()]
    .filter(([name]) => name !== 'X-Amz-Signature')
    .map(pair => pair.map(encoded).join('='))
    .sort()
    .join('&')
  const canonical = [
    method,
    url.pathname,
    signed,
    ...names.map(name => `${name}:${String(headers[name] ?? '').trim()}`),
    '',
    names.join(';'),
    query.get('X-Amz-Content-Sha256') ?? 'UNSIGNED-PAYLOAD',
  ].join('\n')
  const [, ...scope] = query.get('X-Amz-Credential')!.split('/')
  const date = query.get('X-Amz-Date')!
  const text = ['AWS4-HMAC-SHA256', date, scope.join('/'), sha256(canonical)].join('\n')
  const key = scope.reduce<string | Buffer>((from, part) => hmac(from, part), `AWS4${secret}`)
  return hmac(key, text).toString('hex')
}

function encoded(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    c => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

function denied(code: string, status = 403): Fault {
  return { status, body: `<Error><Code>${code}</Code></Error>` }
}
