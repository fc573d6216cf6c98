/** Certificates of a test's own: a CA, and servers that it vouches for (X.509 by RFC 5280, in DER). */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'

export type Authority = { pem: string; issue(host: string): { certificate: string; key: string } }

const DAY_MS = 86_400_000
const EC_SHA256 = '2a8648ce3d040302'
const COMMON_NAME = '550403'
const BASIC_CONSTRAINTS = '551d13'
const ALTERNATIVE_NAMES = '551d11'

export function newAuthority(name: string): Authority {
  const own = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const isAuthority = extension(BASIC_CONSTRAINTS, sequence(tlv(0x01, Buffer.from([0xff]))))
  const certify = (subject: string, key: KeyObject, extensions: Buffer[]) =>
    pem(certificate({ issuer: name, signer: own.privateKey, subject, key, extensions }))
  return {
    pem: certify(name, own.publicKey, [isAuthority]),
    issue(host) {
      const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const names = extension(ALTERNATIVE_NAMES, sequence(tlv(0x82, Buffer.from(host))))
      return {
        certificate: certify(host, publicKey, [names]),
        key: String(privateKey.export({ type: 'pkcs8', format: 'pem' })),
      }
    },
  }
}

type Content = {
  issuer: string
  signer: KeyObject
  subject: string
  key: KeyObject
  extensions: Buffer[]
}

function certificate({ issuer, signer, subject, key, extensions }: Content): Buffer {
  const algorithm = sequence(oid(EC_SHA256))
  const now = Date.now()
  const body = sequence(
    tlv(0xa0, tlv(0x02, Buffer.from([2]))),
    // Positive and without a leading zero.
    tlv(0x02, Buffer.concat([Buffer.from([0x7f]), randomBytes(8)])),
    algorithm,
    distinguished(issuer),
    sequence(time(now - DAY_MS), time(now + DAY_MS)),
    distinguished(subject),
    key.export({ type: 'spki', format: 'der' }),
    tlv(0xa3, sequence(...extensions)),
  )
  const signature = Buffer.concat([Buffer.from([0]), sign('sha256', body, signer)])
  return sequence(body, algorithm, tlv(0x03, signature))
}

function distinguished(name: string): Buffer {
  return sequence(tlv(0x31, sequence(oid(COMMON_NAME), tlv(0x0c, Buffer.from(name)))))
}

function extension(id: string, value: Buffer): Buffer {
  return sequence(oid(id), tlv(0x04, value))
}

function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replace(/[-:T]/g, '').slice(2, 14)
  return tlv(0x17, Buffer.from(`${digits}Z`))
}

function oid(hex: string): Buffer {
  return tlv(0x06, Buffer.from(hex, 'hex'))
}

function sequence(...parts: Buffer[]): Buffer {
  return tlv(0x30, Buffer.concat(parts))
}

function tlv(tag: number, value: Buffer): Buffer {
  const { length } = value
  const bytes =
    length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255]
  return Buffer.concat([Buffer.from([tag, ...bytes]), value])
}

function pem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g)!
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}
