/** Who is next: shares among tenants, urgency within one, and nobody for ever last. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Ask, LEVEL_MS, levelOf } from '#gpu-runners/batcher/ask.ts'
import { type Budget, createFairQueue } from '#gpu-runners/batcher/fair-queue.ts'

const unlimited: Pick<Budget, 'runMs' | 'roomMs'> = { runMs: () => 0, roomMs: () => Infinity }
const alive = () => false

function askOf(seq: number, o: Partial<Ask> = {}): Ask {
  const { level = 2, queuedMs = 0, rows = 1 } = o
  return {
    tenant: 'a',
    weight: 1,
    level,
    rows,
    bytes: rows,
    key: 'k',
    queuedMs,
    turnMs: queuedMs + level * LEVEL_MS,
    deadlineMs: Number.POSITIVE_INFINITY,
    signal: undefined,
    seq,
    part: false,
    inputs: [],
    outputs: [],
    resolve() {},
    reject() {},
    ...o,
  }
}

const asked = fc.record({
  tenant: fc.constantFrom('a', 'b', 'c', 'd'),
  key: fc.constantFrom('k', 'l', null),
  rows: fc.nat(4),
  priority: fc.nat(4),
  laterMs: fc.nat(900),
})
const step = fc.oneof(
  { weight: 3, arbitrary: asked },
  { weight: 1, arbitrary: fc.constant('take' as const) },
  { weight: 1, arbitrary: fc.constant('sweep' as const) },
)
const WEIGHTS: Record<string, number> = { a: 1, b: 1, c: 2, d: 0.5 }

/** The same by looking at everything every time. */
function naive(rowsMax: number, bytesMax: number) {
  let waiting: Ask[] = []
  const served = new Map<string, number>()
  const order: string[] = []
  let now = 0
  const isBefore = (x: Ask, y: Ask) => x.turnMs - y.turnMs || x.seq - y.seq
  const next = (asks: Ask[]) => {
    const tenants = order.filter(name => asks.some(ask => ask.tenant === name))
    const [first] = tenants.toSorted((x, y) => served.get(x)! - served.get(y)!)
    return asks.filter(ask => ask.tenant === first).toSorted(isBefore)[0]
  }
  return {
    push(ask: Ask) {
      if (!served.has(ask.tenant)) order.push(ask.tenant)
      if (!waiting.some(({ tenant }) => tenant === ask.tenant)) {
        served.set(ask.tenant, Math.max(served.get(ask.tenant) ?? now, now))
      }
      waiting.push(ask)
    },
    take(): Ask[] {
      // A tenant without requests is forgotten once the others have caught up.
      for (const name of [...order]) {
        if (!waiting.some(ask => ask.tenant === name) && served.get(name)! <= now) {
          order.splice(order.indexOf(name), 1)
          served.delete(name)
        }
      }
      const seed = next(waiting)
      if (!seed) return []
      const taken: Ask[] = []
      const full = new Set<string>()
      for (;;) {
        const fitting = waiting.filter(
          ask => (seed.key === null ? ask === seed : ask.key === seed.key) && !full.has(ask.tenant),
        )
        const ask = next(fitting)
        if (!ask) break
        const all = [...taken, ask]
        const sum = (of: 'rows' | 'bytes') => all.reduce((total, each) => total + each[of], 0)
        if (taken.length > 0 && (sum('rows') > rowsMax || sum('bytes') > bytesMax)) {
          full.add(ask.tenant)
          continue
        }
        waiting = waiting.filter(each => each !== ask)
        now = Math.max(now, served.get(ask.tenant)!)
        served.set(ask.tenant, served.get(ask.tenant)! + Math.max(1, ask.rows) / ask.weight)
        taken.push(ask)
        if (ask.key === null || sum('rows') >= rowsMax) break
      }
      if (waiting.length === 0) {
        now = Math.max(now, ...served.values())
        served.clear()
        order.length = 0
      }
      return taken
    },
    sweep(isDead: (ask: Ask) => boolean) {
      waiting = waiting.filter(ask => !isDead(ask))
    },
    rows: () => waiting.reduce((sum, ask) => sum + ask.rows, 0),
  }
}

test('batches are those that a naive look at everything gives, in the same order', () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60 }),
      fc.integer({ min: 1, max: 8 }),
      fc.integer({ min: 2, max: 40 }),
      (steps, rowsMax, bytesMax) => {
        const queue = createFairQueue()
        const oracle = naive(rowsMax, bytesMax)
        let nowMs = 0
        for (const [seq, each] of steps.entries()) {
          if (each === 'take') {
            const taken = queue.take({ rowsMax, bytesMax, ...unlimited }, alive)
            expect(taken?.asks.map(ask => ask.seq) ?? []).toEqual(oracle.take().map(ask => ask.seq))
          } else if (each === 'sweep') {
            const isDead = (ask: Ask) => ask.seq % 3 === 0
            queue.sweep(isDead)
            oracle.sweep(isDead)
          } else {
            const { tenant, key, rows, priority, laterMs } = each
            nowMs += laterMs
            const who = { tenant, key, rows, weight: WEIGHTS[tenant]!, level: levelOf(priority) }
            const ask = askOf(seq, { ...who, queuedMs: nowMs })
            queue.push(ask)
            oracle.push(ask)
          }
          expect(queue.rows).toBe(oracle.rows())
        }
      },
    ),
    { numRuns: 1_000 },
  )
})

test('tenants that always have more to ask are served in proportion to their weights', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({ weight: fc.constantFrom(0.5, 1, 2, 3), rows: fc.integer({ min: 1, max: 9 }) }),
        {
          minLength: 2,
          maxLength: 6,
        },
      ),
      fc.integer({ min: 1, max: 16 }),
      (asking, rowsMax) => {
        // Where requests of different sizes share a batch, its rest goes to those who fit, as a gift.
        const tenants = asking.map(({ weight, rows }) => ({ weight, rows: rowsMax > 1 ? 1 : rows }))
        const queue = createFairQueue()
        tenants.forEach(({ weight, rows }, i) => {
          for (let seq = 0; seq < 300; seq++) {
            queue.push(askOf(seq * tenants.length + i, { tenant: `${i}`, weight, rows }))
          }
        })
        const served = tenants.map(() => 0)
        const hasMore = () => served.every((rows, i) => rows < 280 * tenants[i]!.rows)
        while (hasMore()) {
          for (const ask of queue.take({ rowsMax, bytesMax: 1e9, ...unlimited }, alive)!.asks) {
            served[Number(ask.tenant)]! += ask.rows
          }
          const shares = served.map((rows, i) => rows / tenants[i]!.weight)
          // A request of each of two tenants: the bound of start-time fair queueing.
          const step = Math.max(...tenants.map(({ weight, rows }) => rows / weight))
          expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(2 * step)
        }
      },
    ),
  )
})

test('a request is overtaken by more urgent ones of its tenant only if they came soon after it', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ priority: fc.nat(12), laterMs: fc.nat(2_000) }), { maxLength: 60 }),
      asks => {
        const queue = createFairQueue()
        let nowMs = 0
        asks.forEach(({ priority, laterMs }, seq) => {
          nowMs += laterMs
          queue.push(askOf(seq, { level: levelOf(priority), queuedMs: nowMs }))
        })
        const taken: Ask[] = []
        while (queue.size > 0) {
          taken.push(...queue.take({ rowsMax: 4, bytesMax: 1e9, ...unlimited }, alive)!.asks)
        }
        taken.forEach((ask, i) => {
          for (const earlier of taken.slice(0, i)) {
            const levels = ask.level - earlier.level
            if (earlier.seq > ask.seq) {
              expect(earlier.queuedMs - ask.queuedMs).toBeLessThan(levels * LEVEL_MS)
            }
          }
        })
      },
    ),
  )
})
