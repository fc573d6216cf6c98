/** The edge as careless, slow and broken clients find it. */
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { beforeAll, describe, expect, test } from 'vitest'
import { ROUTES } from '#schemas/contracts/all.ts'
import type { Route } from '#schemas/route.ts'
import { ok, type Problem, refused, sha256Of } from './actions.ts'
import { api, product } from './product.ts'
import { open, raw, read } from './sockets.ts'

const MIB = 2 ** 20

describe('answers that are not successes', () => {
  test('a path that nobody answers is 404 as a problem that says where to look', async () => {
    for (const path of [
      '/',
      '/v1',
      '/v1/nothing',
      '/v1/keys/a/b/c',
      '/internal/keys',
      '/v2/models',
      '/..%2f..%2fetc',
    ]) {
      const problem = await refused('GET', path, undefined, 404, 'not_found')
      expect(problem).toMatchObject({ type: '/docs/errors#not_found', status: 404 })
      expect(problem.detail).toContain('/openapi.json')
    }
  })

  test('a method that a path does not take is 405 with Allow, in the form of the path’s protocol', async () => {
    const taken = Map.groupBy(ROUTES as readonly Route[], route => route.path)
    for (const [path, routes] of taken) {
      const methods = routes.map(route => route.method)
      for (const method of ['POST', 'PUT', 'DELETE', 'PATCH'].filter(
        one => !methods.includes(one as never),
      )) {
        const { status, headers, body } = await api<Problem>(
          method,
          path.replaceAll(/:[a-z_]+/g, 'x'),
        )
        // Feast's form has no code.
        const code = path.startsWith('/feast') ? undefined : 'method_not_allowed'
        expect([method, path, status, body.code]).toEqual([method, path, 405, code])
        expect(headers.get('allow')?.split(', ')).toEqual(expect.arrayContaining(methods))
        expect(JSON.stringify(body)).toContain(methods[0])
        if (path.startsWith('/v2')) expect(body.error).toBe(body.detail)
      }
    }
  })

  test('an unknown path under /v2 is answered in the form of that protocol', async () => {
    const problem = await refused('GET', '/v2/nothing', undefined, 404, 'not_found')
    expect(problem.error).toBe(problem.detail)
  })

  test('a body that is no JSON is 400, one of the wrong shape 422 with a pointer to what is wrong', async () => {
    const malformed = await api<Problem>('POST', '/v1/keys', Buffer.from('{"name":'), {
      headers: { 'content-type': 'application/json' },
    })
    expect([malformed.status, malformed.body.code]).toEqual([400, 'invalid_request'])
    expect(malformed.body.detail).toContain('not JSON')
    const cases: [string, unknown, string][] = [
      ['/v1/keys', { name: 'x', scopes: ['everything'] }, '/scopes/0'],
      ['/v1/keys', { scopes: ['infer'] }, '/name'],
      ['/v1/uploads', { sha256: 'abc', size: 1 }, '/sha256'],
      ['/v1/uploads', { sha256: '0'.repeat(64), size: 3 * 1024 ** 3 }, '/size'],
      [
        '/v1/jobs',
        { model: 'm', input: { sha256: '0'.repeat(64), format: 'csv' } },
        '/input/format',
      ],
    ]
    for (const [path, body, pointer] of cases) {
      const problem = await refused('POST', path, body, 422, 'invalid_body')
      expect(problem.errors?.map(error => error.pointer)).toContain(pointer)
    }
    await refused(
      'POST',
      '/v1/keys',
      { name: 'x', scopes: ['infer'], admin: true },
      422,
      'invalid_body',
    )
    await refused('POST', '/v1/keys', [], 422, 'invalid_body')
  })

  test('a query that does not fit is 400 and names its field', async () => {
    for (const query of ['limit=0', 'limit=1001', 'limit=x', 'limits=3', 'cursor=zzz']) {
      const { status, body } = await api<Problem>('GET', `/v1/keys?${query}`)
      expect([query, status]).toEqual([query, 400])
      expect(['invalid_request', 'invalid_cursor']).toContain(body.code)
    }
    await refused('GET', '/v1/usage?group_by=colour', undefined, 400, 'invalid_request')
    await refused('GET', '/v1/usage?from=yesterday', undefined, 400, 'invalid_request')
  })

  test('every reply to a control request carries the request’s id', async () => {
    const { headers } = await api('GET', '/v1/whoami')
    expect(headers.get('galley-request-id')).toMatch(/^req_/)
  })
})

describe('the description of the API', () => {
  type Document = {
    openapi: string
    paths: Record<
      string,
      Record<string, { operationId: string; parameters: { name: string; in: string }[] }>
    >
  }
  let document: Document
  beforeAll(async () => {
    document = await ok<Document>('GET', '/openapi.json')
  })

  test('names every route once, with every parameter of its path', () => {
    const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
    )
    expect(operations.map(one => one.operation.operationId).sort()).toEqual(
      ROUTES.map(route => route.name).sort(),
    )
    for (const { path, operation } of operations) {
      const named = [...path.matchAll(/\{([a-z_]+)\}/g)].map(match => match[1])
      const declared = operation.parameters.filter(one => one.in === 'path').map(one => one.name)
      expect(declared).toEqual(named)
    }
  })

  test('every reference in it leads somewhere', () => {
    const text = JSON.stringify(document)
    for (const [, ref] of text.matchAll(/"\$ref":"([^"]+)"/g)) {
      let at: unknown = document
      for (const step of ref!.slice(2).split('/')) at = (at as Record<string, unknown>)[step]
      expect(at).toBeTypeOf('object')
    }
    expect(document.openapi).toMatch(/^3\.1/)
  })
})

test('health says that the edge lives and that work can be done', async () => {
  expect(await ok('GET', '/health/live')).toEqual({ live: true })
  expect(await ok('GET', '/health/ready')).toEqual({ ready: true })
  expect(await ok('GET', '/v2/health/live')).toEqual({ live: true })
  expect(await ok('GET', '/v2/health/ready')).toEqual({ ready: true })
})

describe('bodies that are too large', () => {
  test('a control body over its megabyte is 413', async () => {
    const body = { name: 'x'.repeat(MIB + 10), scopes: ['infer'] }
    await refused('POST', '/v1/keys', body, 413, 'payload_too_large')
  })

  test('an inference body over its 64 MiB is 413 before it has been read', async () => {
    const { status, body } = await raw(
      'POST',
      '/v2/models/iris/infer',
      { 'content-length': String(64 * MIB + 1) },
      '{',
    )
    expect([status, body.code]).toEqual([413, 'payload_too_large'])
  })

  test('a body of unknown length is refused where it grows too large, before it has ended', async () => {
    const piece = `10000\r\n${' '.repeat(65_536)}\r\n`
    const headers = { 'transfer-encoding': 'chunked' }
    const { status, body } = await raw('POST', '/v1/keys', headers, piece.repeat(17))
    expect([status, body.code]).toEqual([413, 'payload_too_large'])
  })

  test('a part over its upload’s size is 413, and the upload still takes the right one', async () => {
    const bytes = Buffer.alloc(1000, 1)
    const { id } = await ok<{ id: string }>(
      'POST',
      '/v1/uploads',
      { sha256: sha256Of(bytes), size: 1000 },
      {},
      201,
    )
    await refused(
      'PUT',
      `/v1/uploads/${id}/parts/1`,
      Buffer.alloc(1001, 1),
      413,
      'payload_too_large',
    )
    await ok('PUT', `/v1/uploads/${id}/parts/1`, bytes)
    await ok('POST', `/v1/uploads/${id}/complete`, {})
  })

  test('a file too large to be verified within a call is verified all the same, and a wrong one is told', async () => {
    // The protocol server of S3 takes 11 MiB at a time.
    const PART = 8 * 1024 ** 2
    const bytes = Buffer.alloc(8 * PART + 9, 3)
    for (const isRight of [true, false]) {
      bytes[0] = isRight ? 1 : 2
      const declared = { sha256: sha256Of(bytes), size: bytes.length }
      const { id } = await ok<{ id: string }>('POST', '/v1/uploads', declared, {}, 201)
      if (!isRight) bytes.fill(0, 8 * PART)
      for (let at = 0; at * PART < bytes.length; at++) {
        const part = bytes.subarray(at * PART, (at + 1) * PART)
        await ok('PUT', `/v1/uploads/${id}/parts/${at + 1}`, part)
      }
      const path = `/v1/uploads/${id}/complete`
      if (isRight) expect(await ok('POST', path, {})).toMatchObject({ state: 'complete' })
      else await refused('POST', path, {}, 422, 'digest_mismatch')
      const { state } = await ok<{ state: string }>('GET', `/v1/uploads/${id}`)
      expect(state).toBe(isRight ? 'complete' : 'failed')
    }
  })

  test('after refusals the edge serves as before', async () => {
    await ok('GET', '/v1/whoami')
  })
})

describe('slow and broken clients', () => {
  test('bodies that never end hold up nobody else', async () => {
    const held: Socket[] = []
    for (let i = 0; i < 50; i++)
      held.push(await open(`POST /v1/keys HTTP/1.1`, { 'content-length': '1000' }, '{"na'))
    for (let i = 0; i < 50; i++)
      held.push(
        await open(`POST /v2/models/iris/infer HTTP/1.1`, { 'content-length': '1000' }, '{"in'),
      )
    const answers = await Promise.all(Array.from({ length: 20 }, () => api('GET', '/v1/whoami')))
    expect(answers.map(answer => answer.status)).toEqual(Array(20).fill(200))
    for (const socket of held) socket.destroy()
    await sleep(50)
    await ok('GET', '/v1/whoami')
  })

  test('an upload that breaks off in the middle of a part leaves no part, and can be sent again', async () => {
    const bytes = Buffer.alloc(200_000, 7)
    const { id } = await ok<{ id: string }>(
      'POST',
      '/v1/uploads',
      { sha256: sha256Of(bytes), size: bytes.length },
      {},
      201,
    )
    const socket = await open(
      `PUT /v1/uploads/${id}/parts/1 HTTP/1.1`,
      { 'content-length': '200000' },
      bytes.subarray(0, 100_000),
    )
    await sleep(100)
    socket.destroy()
    await sleep(200)
    const { parts } = await ok<{ parts: unknown[] }>('GET', `/v1/uploads/${id}`)
    expect(parts).toEqual([])
    await ok('PUT', `/v1/uploads/${id}/parts/1`, bytes)
    await ok('POST', `/v1/uploads/${id}/complete`, {})
  })

  test('a request that is no HTTP is refused, and the edge lives', async () => {
    const { url } = await product()
    const { hostname, port } = new URL(url)
    const socket = connect(Number(port), hostname)
    const said = read(socket)
    socket.write('\0\0\0\0 nonsense\r\n\r\n')
    expect(await said).toMatch(/^HTTP\/1\.1 400|^$/)
    await ok('GET', '/health/live')
  })
})
