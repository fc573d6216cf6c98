/** CloudEvents as they come over HTTP, in each form, by the texts of the specification. */
import { describe, expect, test } from 'vitest'
import { eventsOf } from '#core/events/cloudevents.ts'

function read(headers: Record<string, string>, body: unknown = '') {
  const bytes =
    body instanceof Uint8Array
      ? body
      : new TextEncoder().encode(typeof body === 'string' ? body : JSON.stringify(body))
  return eventsOf({ header: name => headers[name], body: bytes })
}
const refused = (headers: Record<string, string>, body: unknown = '') => {
  try {
    read(headers, body)
  } catch (error) {
    const { code, errors } = error as { code: string; errors?: { pointer: string }[] }
    return [code, ...(errors ?? []).map(({ pointer }) => pointer)]
  }
  return null
}
const STRUCTURED = { 'content-type': 'application/cloudevents+json; charset=UTF-8' }
const BATCH = { 'content-type': 'application/cloudevents-batch+json' }
const BINARY = {
  'content-type': 'application/json',
  'ce-specversion': '1.0',
  'ce-id': '1',
  'ce-source': '/till',
  'ce-type': 'payment',
}
const EVENT = { specversion: '1.0', id: '1', source: '/till', type: 'payment', data: { a: 1 } }
const READ = {
  id: '1',
  source: '/till',
  type: 'payment',
  time: undefined,
  retracts: undefined,
  data: { a: 1 },
}

describe('structured', () => {
  test('is one event; what is null is not there', () => {
    expect(read(STRUCTURED, EVENT)).toEqual([READ])
    const more = {
      subject: 's',
      dataschema: 'urn:x',
      traceparent: 't',
      time: null,
      data_base64: null,
    }
    expect(read(STRUCTURED, { ...EVENT, ...more })).toEqual([READ])
  })
  test('takes JSON in base64, and not beside data', () => {
    const { data: _, ...bare } = EVENT
    expect(read(STRUCTURED, { ...bare, data_base64: btoa('{"a":1}') })).toEqual([READ])
    expect(refused(STRUCTURED, { ...EVENT, data_base64: 'e30=' })).toEqual([
      'invalid_event',
      '/data_base64',
    ])
    expect(refused(STRUCTURED, { ...bare, data_base64: '%' })).toEqual([
      'invalid_event',
      '/data_base64',
    ])
  })
  test('is refused in another version, as a list, and as no JSON', () => {
    expect(refused(STRUCTURED, { ...EVENT, specversion: '0.3' })).toEqual([
      'invalid_event',
      '/specversion',
    ])
    expect(refused(STRUCTURED, [EVENT])).toEqual(['invalid_event', ''])
    expect(refused(STRUCTURED, '{')).toEqual(['invalid_event'])
    expect(refused(STRUCTURED, new Uint8Array([0x22, 0xff, 0x22]))).toEqual(['invalid_event'])
  })
})

describe('batched', () => {
  test('is a list, which may be empty', () => {
    expect(read(BATCH, [EVENT, { ...EVENT, id: '2' }]).map(({ id }) => id)).toEqual(['1', '2'])
    expect(read(BATCH, [])).toEqual([])
  })
  test('says which of its events is malformed', () => {
    expect(refused(BATCH, [EVENT, 5])).toEqual(['invalid_event', '/1'])
    expect(refused(BATCH, [EVENT, { ...EVENT, specversion: 1 }])).toEqual([
      'invalid_event',
      '/1/specversion',
    ])
    expect(refused(BATCH, EVENT)).toEqual(['invalid_event'])
    expect(refused(BATCH, Array(1_001).fill(EVENT))).toEqual(['invalid_event'])
  })
})

describe('binary', () => {
  test('has its attributes in headers and its data as it is', () => {
    expect(read(BINARY, { a: 1 })).toEqual([READ])
    const json = { ...BINARY, 'content-type': 'application/vnd.till+json; charset=utf-8' }
    expect(read(json, { a: 1 })).toEqual([READ])
    expect(read({ ...BINARY, 'ce-retracts': '0' })).toEqual([
      { ...READ, retracts: '0', data: undefined },
    ])
  })
  test.each([
    // The example of the HTTP binding, §3.1.3.2, and its rules.
    ['Euro%20%E2%82%AC%20%F0%9F%98%80', 'Euro € 😀'],
    ['Euro%20%e2%82%ac', 'Euro €'],
    ['"quoted %22text%22"', 'quoted "text"'],
    ['"with \\"escapes\\" and \\\\"', 'with "escapes" and \\'],
    ['once%2525', 'once%25'],
    ['100%', '100%'],
  ])('header values are unquoted and decoded once: %s', (value, text) => {
    expect(read({ ...BINARY, 'ce-source': value })[0]!.source).toBe(text)
  })
  test('is refused with bytes that are no UTF-8, another version, or data that is no JSON', () => {
    expect(refused({ ...BINARY, 'ce-source': '%FF' })).toEqual(['invalid_event', '/source'])
    expect(refused({ ...BINARY, 'ce-specversion': '0.3' })).toEqual([
      'invalid_event',
      '/specversion',
    ])
    expect(refused({ ...BINARY, 'content-type': 'text/xml' }, '<a/>')).toEqual([
      'unsupported_media_type',
    ])
  })
})

test('what is no CloudEvent at all is told which forms there are', () => {
  expect(refused({ 'content-type': 'application/json' }, EVENT)).toEqual(['unsupported_media_type'])
})
