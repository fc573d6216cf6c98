/** What a newcomer types wrong: each answer names what was wrong and what would be right, and does nothing else. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { folder, galley, peerOf } from './cli-run.ts'
import type { Asked } from './sdk-peer.ts'

const problem = (status: number, code: string, detail: string, errors: object[] = []) => ({
  status,
  json: { code, detail, errors, request_id: 'req_1' },
})
const write = (name: string, value: unknown) =>
  writeFile(join(folder, name), typeof value === 'string' ? value : JSON.stringify(value))

describe('a command', () => {
  test.each([
    [['modles', 'list'], 'is "models" meant?'],
    [['bogus'], 'There is no command "bogus"; "galley --help" lists all.'],
    [['--version'], 'Options come after the command'],
  ])('%j that is none is told with what is near', async (args, sentence) => {
    const ran = await galley(args)
    expect(ran).toMatchObject({ code: 2, out: '' })
    expect(ran.err).toContain(sentence)
  })

  test('is explained by "help" as by --help', async () => {
    expect(await galley(['help', 'jobs', 'list'])).toEqual(await galley(['jobs', 'list', '--help']))
    expect(await galley(['help'])).toEqual(await galley(['--help']))
  })
})

describe('a refusal', () => {
  test('is told once, with the place if it does not name it', async () => {
    const errors = [{ pointer: '/fields/a', detail: 'There is no field "b".' }]
    const peer = await peerOf(() =>
      problem(422, 'invalid_body', 'There is no field "b".', [
        ...errors,
        { pointer: '/fields/c', detail: 'Nor a field "d".' },
      ]),
    )
    const ran = await galley(['models', 'show', 'iris'], { url: peer.url })
    expect(ran.err).toBe(
      'galley: There is no field "b". (at /fields/a; /fields/c: Nor a field "d".) [req_1]\n',
    )
  })
})

describe('events send', () => {
  test('names the line of a file, blank lines counted, and what was taken before', async () => {
    await write('e.jsonl', '{"id":"1"}\n\n{"id":"2"}\n')
    const errors = [{ pointer: '/1/data/amount', detail: 'It must be a number.' }]
    const peer = await peerOf(() => problem(422, 'invalid_event', 'wrong', errors))
    const ran = await galley(['events', 'send', 'e.jsonl'], { url: peer.url })
    expect(ran.err).toBe(
      'galley: e.jsonl, line 3 at /data/amount: It must be a number; none was taken. [req_1]\n',
    )
  })

  test('names the line that is not JSON, and sends nothing', async () => {
    await write('e.jsonl', '{"id":"1"}\n{"id":\n')
    const peer = await peerOf(() => ({ json: { accepted: 2 } }))
    const ran = await galley(['events', 'send', 'e.jsonl'], { url: peer.url })
    expect([ran.code, peer.asked.length]).toEqual([2, 0])
    expect(ran.err).toContain('e.jsonl, line 2 is not JSON')
  })
})

describe('a result', () => {
  test.each([
    ['jobs', 'create', 'iris', 'rows.jsonl', '--output', 'nowhere/out.jsonl'],
    ['features', 'training-set', 'fraud', '--spine', 'rows.jsonl', '--out', 'nowhere/out.parquet'],
    ['features', 'training-set', 'fraud', '--spine', 'rows.jsonl', '--out', 'there'],
  ])('that has no place is refused before anything is done for it: %j', async (...args) => {
    await write('rows.jsonl', '{}\n')
    await mkdir(join(folder, 'there'))
    const peer = await peerOf(() => ({ json: {} }))
    const ran = await galley(args, { url: peer.url })
    expect([ran.code, peer.asked.length]).toEqual([2, 0])
    expect(ran.err).toMatch(/There is no folder .*nowhere for --out|there is a folder/)
  })
})

describe('predict', () => {
  test('of an input that the model does not have names those that it has', async () => {
    const inputs = [{ name: 'x', datatype: 'FP32', shape: [-1, 2] }]
    const peer = await peerOf(() => ({ json: { name: 'm', inputs } }))
    const ran = await galley(['predict', 'm', 'y=1,2'], { url: peer.url })
    expect(ran.err).toBe('galley: There is no input "y"; the model takes x (FP32 [?,2]).\n')
  })
})

describe('definitions of features', () => {
  const type = { fields: { card_id: { type: 'string' } }, entities: { card: 'card_id' } }
  const file = {
    event_types: { payment: type },
    views: { velocity: { entity: 'card', event_type: 'payment', features: {} } },
    services: { fraud: { features: ['velocity:*'] } },
  }
  const stored: Record<string, unknown> = {}
  const ofStored = ({ method, path }: Asked) => {
    const name = path.split('/')[3]!
    if (method === 'GET') {
      return stored[name] ? { json: stored[name] } : problem(404, 'not_found', 'none')
    }
    if (path.endsWith('/plan')) {
      const same = { name, change: 'same', version: 1, hash: 'h', warnings: [] }
      const missing = problem(422, 'invalid_definition', 'It builds on what is not there.')
      return stored.payment ? { json: same } : missing
    }
    return problem(422, 'invalid_definition', 'No such aggregate.', [])
  }

  test('that build on each other are planned before any of them is there', async () => {
    await write('f.json', file)
    const peer = await peerOf(ofStored)
    const { code, out } = await galley(['features', 'plan', 'f.json'], { url: peer.url })
    expect(code).toBe(0)
    expect(out).toMatch(/event type +payment +new +1/)
    expect(out).toMatch(/view +velocity +new +1/)
    expect(out).toMatch(/service +fraud +new +1/)
    expect(out).toContain('fraud: checked when it is applied, after view "velocity" of this file.')
  })

  test('that are there already are the same, defaults aside', async () => {
    await write('f.json', file)
    stored.payment = { ...type, type: 'payment', version: 1, online_days: 40 }
    try {
      const peer = await peerOf(ofStored)
      const { out } = await galley(['features', 'plan', 'f.json'], { url: peer.url })
      expect(out).toMatch(/event type +payment +same +1/)
      const more = { ...type, fields: { ...type.fields, note: { type: 'string', optional: true } } }
      await write('f.json', { event_types: { payment: more } })
      const changed = await galley(['features', 'plan', 'f.json'], { url: peer.url })
      expect(changed.out).toMatch(/event type +payment +next\? +2/)
    } finally {
      delete stored.payment
    }
  })

  test('that are refused are named, with those that were applied before', async () => {
    await write('f.json', file)
    const peer = await peerOf(asked =>
      asked.method === 'PUT' && asked.path.includes('event-types')
        ? { json: { ...type, type: 'payment', version: 1 } }
        : ofStored(asked),
    )
    const { code, err } = await galley(['features', 'apply', 'f.json'], { url: peer.url })
    expect(code).toBe(1)
    expect(err).toBe(
      'galley: view "velocity": No such aggregate. Applied before it: event type "payment". [req_1]\n',
    )
  })
})
