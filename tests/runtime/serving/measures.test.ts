/** Measures: what is counted is what is read, in whichever process, and no label grows without bound. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  openSigner,
  openVerifier,
  placeKey,
  sha256Hex,
  TOKEN_HEADER,
} from '#core/internal/signing.ts'
import { serveRouter } from '#gpu-runners/router-http.ts'
import { Isolates } from '#platform/metrics/isolates.ts'
import { type Reading, Registry } from '#platform/metrics/registry.ts'
import { textOf } from '#platform/metrics/text.ts'

const BUCKETS = [1, 5, 10]
const steps = fc.array(
  fc.record({
    isolate: fc.constantFrom(0, 1),
    label: fc.constantFrom('a', 'b"\\\n', 'é'),
    value: fc.constantFrom(0, 1, 3, 5, 7, 100),
    isTold: fc.boolean(),
  }),
  { maxLength: 60 },
)

/** Lines of the text as what they say: name, labels with their escapes undone, value. */
function read(text: string): Map<string, number> {
  const found = new Map<string, number>()
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('# ')) continue
    const [, name, inner, value] = /^([a-z_]+)\{(.*)\} (\S+)$/.exec(line)!
    const labels = [...inner!.matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)].map(([, label, text]) => [
      label,
      text!.replaceAll(/\\(.)/g, (_, char) => (char === 'n' ? '\n' : char)),
    ])
    const key = JSON.stringify([name, labels])
    expect(found.has(key)).toBe(false)
    found.set(key, value === '+Inf' ? Infinity : Number(value))
  }
  return found
}

test('what isolates count and tell bit by bit is read as one sum, and each value stands in its buckets', () => {
  fc.assert(
    fc.property(steps, all => {
      const isolates = [0, 1].map(() => {
        const registry = new Registry()
        const counter = registry.counter('c_total', 'c', ['of'])
        const histogram = registry.histogram('h', 'h', { labels: ['of'], buckets: BUCKETS })
        // Held from the first time on, as who counts often does.
        const held = new Map<
          string,
          () => [{ add(n: number): void }, { observe(n: number): void }]
        >()
        const series = (label: string) => {
          const pair = [counter.of(label), histogram.of(label)] as const
          if (!held.has(label)) held.set(label, () => [...pair])
          return held.get(label)!()
        }
        return { registry, series }
      })
      const collected = new Registry()
      for (const { isolate, label, value, isTold } of all) {
        const { registry, series } = isolates[isolate]!
        const [counted, observed] = series(label)
        counted.add(value)
        observed.observe(value)
        if (isTold) collected.absorb(JSON.parse(JSON.stringify(registry.takeGrowth())))
      }
      for (const { registry } of isolates) collected.absorb(registry.takeGrowth())
      const text = read(textOf([{ process: 'edge', snapshot: collected.snapshot() }]))
      for (const of of new Set(all.map(({ label }) => label))) {
        const values = all.filter(({ label }) => label === of).map(({ value }) => value)
        const at = (name: string, more: [string, string][] = []) =>
          text.get(JSON.stringify([name, [['process', 'edge'], ['of', of], ...more]]))
        const sum = values.reduce<number>((total, value) => total + value, 0)
        expect(at('c_total') ?? 0).toBe(sum)
        expect(at('h_sum')).toBe(sum)
        expect(at('h_count')).toBe(values.length)
        for (const [le, bound] of [
          ...BUCKETS.map(each => [String(each), each] as const),
          ['+Inf', Infinity] as const,
        ]) {
          expect(at('h_bucket', [['le', le]])).toBe(values.filter(value => value <= bound).length)
        }
      }
    }),
  )
})

test('labels beyond the bound are counted together, and nothing is lost', () => {
  const registry = new Registry()
  const tenants = registry.counter('t_total', 't', ['tenant'], 3)
  for (let i = 0; i < 1_000; i++) tenants.of(`tenant ${i % 100}`).add()
  const [family] = registry.snapshot()
  expect(family!.series).toEqual([
    [['tenant 0'], 10],
    [['tenant 1'], 10],
    [['tenant 2'], 10],
    [['other'], 970],
  ])
})

test('a family keeps its own bound where the counts of several processes are added up', () => {
  const [isolate, collected] = [new Registry(), new Registry()]
  const wide = isolate.counter('w_total', 'w', ['code'], 1_000)
  const narrow = isolate.histogram('n', 'n', { labels: ['tenant'], buckets: BUCKETS, max: 2 })
  for (let i = 0; i < 500; i++) {
    wide.of(String(i)).add()
    narrow.of(String(i % 2)).observe(1)
  }
  collected.absorb(JSON.parse(JSON.stringify(isolate.takeGrowth())))
  narrow.of('0').observe(1)
  collected.absorb(isolate.takeGrowth())
  const other = new Registry()
  other
    .histogram('n', 'n', { labels: ['tenant'], buckets: BUCKETS, max: 2 })
    .of('late')
    .observe(1)
  collected.absorb(other.takeGrowth())
  const [codes, tenants] = collected.snapshot()
  expect(codes!.series).toHaveLength(500)
  expect(tenants!.series.map(([[tenant]]) => tenant)).toEqual(['0', '1', 'other'])
})

test('families of several processes stand once, with a help, a type and a label that tells them apart', () => {
  const [a, b] = [new Registry(), new Registry()]
  a.gauge('g', 'Two\nlines.').of().set(1)
  b.gauge('g', 'Two\nlines.').of().set(Number.NaN)
  expect(
    textOf([
      { process: 'edge', snapshot: a.snapshot() },
      { process: 'runner-0', snapshot: b.snapshot() },
    ]),
  ).toBe('# HELP g Two\\nlines.\n# TYPE g gauge\ng{process="edge"} 1\ng{process="runner-0"} NaN\n')
})

test('gauges of isolates are added up as each told them last, and one that has fallen silent is gone', () => {
  const isolates = new Isolates()
  const told = (isolate: string, value: number, nowMs: number) => {
    const registry = new Registry()
    const gauge = registry.gauge('g', 'g', ['of'])
    gauge.of('a').set(value)
    if (isolate === 'one') gauge.of('b').set(1)
    registry.counter('c_total', 'c').of().add()
    const gauges = JSON.parse(JSON.stringify(registry.gauges()))
    isolates.tell({ isolate, growth: [], gauges }, nowMs)
  }
  const read = (nowMs: number) => isolates.snapshot(nowMs).map(({ name, series }) => [name, series])
  told('one', 5, 0)
  told('two', 7, 1_000)
  told('one', 6, 2_000)
  expect(read(2_000)).toEqual([
    [
      'g',
      [
        [['a'], 13],
        [['b'], 1],
      ],
    ],
  ])
  expect(read(61_500)).toEqual([
    [
      'g',
      [
        [['a'], 6],
        [['b'], 1],
      ],
    ],
  ])
  told('three', 1, 63_000)
  expect(read(63_000)).toEqual([['g', [[['a'], 1]]]])
})

test('isolates of an older version of the code, which told no gauges and had other labels, are counted beside those of a newer one', async () => {
  const key = await placeKey('a secret of the test alone, long enough', 'edge')
  const signer = await openSigner('edge', key)
  const door = serveRouter({
    router: {} as never,
    readings: async () => [],
    verifier: await openVerifier({ edge: key }),
    clock: { now: () => 0 },
    log: { info() {}, error() {} },
  })
  const tell = async (path: string, told: unknown) => {
    const body = JSON.stringify(told)
    const claims = { call: null, method: 'POST', path, body: await sha256Hex(body) }
    const headers = { [TOKEN_HEADER]: await signer.sign(claims, 0) }
    return door(new Request(`http://router${path}`, { method: 'POST', headers, body }))
  }
  const growth = (labels: string[]) => {
    const registry = new Registry()
    registry
      .counter('c_total', 'c', labels)
      .of(...labels)
      .add()
    registry
      .gauge('g', 'g', labels)
      .of(...labels)
      .set(1)
    return { growth: registry.takeGrowth(), gauges: registry.gauges() }
  }
  const labels = [['a', 'b'], ['a']]
  for (const [at, each] of [...labels, ...labels].entries()) {
    const told = { isolate: String(at), ...growth(each) }
    expect((await tell('/measures/growth', told)).status).toBe(204)
  }
  expect((await tell('/measures/growth', growth(['a']).growth)).status).toBe(204)
  expect((await tell('/measures/growth', { growth: growth(['a']).growth })).status).toBe(204)
  const reply = await tell('/measures', { isolate: 'asks', growth: [], gauges: [] })
  expect(reply.status).toBe(200)
  const text = read(textOf((await reply.json()) as Reading[]))
  const at = (name: string, ...of: string[]) =>
    text.get(JSON.stringify([name, [['process', 'edge'], ...of.map(each => [each, each])]]))
  expect([at('c_total', 'a', 'b'), at('c_total', 'a')]).toEqual([2, 4])
  expect([at('g', 'a', 'b'), at('g', 'a')]).toEqual([2, 2])
})

test('values of a version with other buckets go into the next above of ours: none is lost, none seems quicker', () => {
  const [older, newer, collected] = [new Registry(), new Registry(), new Registry()]
  const of = (registry: Registry, buckets: number[]) => registry.histogram('h', 'h', { buckets })
  for (const value of [0.5, 3, 7, 100]) of(older, [1, 5, 10]).of().observe(value)
  for (const value of [0.5, 3, 7, 100]) of(newer, [2, 5, 50]).of().observe(value)
  for (const each of [older, newer]) collected.absorb(each.takeGrowth())
  const text = read(textOf([{ process: 'edge', snapshot: collected.snapshot() }]))
  const at = (name: string, le?: string) =>
    text.get(JSON.stringify([name, [['process', 'edge'], ...(le ? [['le', le]] : [])]]))
  expect(['1', '5', '10', '+Inf'].map(le => at('h_bucket', le))).toEqual([1, 4, 5, 8])
  expect([at('h_sum'), at('h_count')]).toEqual([221, 8])
})

test('a router of several behind one address counts under its own name, and its runners under theirs', async () => {
  const key = await placeKey('a secret of the test alone, long enough', 'edge')
  const signer = await openSigner('edge', key)
  const verifier = await openVerifier({ edge: key })
  const names = async (instance: string | null) => {
    const readings = ['router', 'runner-a'].map(process => ({ process, snapshot: [] }))
    const router = { router: {} as never, readings: async () => readings, verifier, instance }
    const door = serveRouter({ ...router, clock: { now: () => 0 }, log: { info() {}, error() {} } })
    const body = JSON.stringify({ isolate: 'a', growth: [], gauges: [] })
    const claims = { call: null, method: 'POST', path: '/measures', body: await sha256Hex(body) }
    const headers = { [TOKEN_HEADER]: await signer.sign(claims, 0) }
    const reply = await door(
      new Request('http://router/measures', { method: 'POST', headers, body }),
    )
    return ((await reply.json()) as Reading[]).map(({ process }) => process)
  }
  expect(await names(null)).toEqual(['edge', 'router', 'runner-a'])
  expect(await names('ip-10-0-1-2')).toEqual(['edge-ip-10-0-1-2', 'router-ip-10-0-1-2', 'runner-a'])
})
