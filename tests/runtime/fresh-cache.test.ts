/** Answers that may be a little old, and never older than promised. */
import { expect, test } from 'vitest'
import { FRESH_MS, FreshCache, STALE_MS } from '#edge/fresh-cache.ts'
import { handClock } from '#tests/caller.ts'

function setup(max = 100, staleMs = STALE_MS) {
  const clock = handClock()
  const cache = new FreshCache<string>(max, staleMs)
  const background: Promise<unknown>[] = []
  let fetches = 0
  let answer = 'v0'
  const get = (key = 'k', fetch = async () => answer) =>
    cache.get({ clock, background: work => void background.push(work) }, key, () => {
      fetches++
      return fetch()
    })
  return {
    clock,
    cache,
    get,
    background,
    fetches: () => fetches,
    now: (value: string) => {
      answer = value
    },
  }
}

test('a fresh answer is given without asking again', async () => {
  const { clock, cache, get, fetches, now } = setup()
  await get()
  now('v1')
  clock.forward(FRESH_MS - 1)
  expect(await get()).toBe('v0')
  expect(cache.fresh('k', clock.now())).toBe('v0')
  expect(fetches()).toBe(1)
})

test('an answer that is no longer fresh is served while one look-up renews it', async () => {
  const { clock, cache, get, fetches, now, background } = setup()
  await get()
  now('v1')
  clock.forward(FRESH_MS)
  expect(cache.fresh('k', clock.now())).toBeUndefined()
  expect(await Promise.all([get(), get(), get()])).toEqual(['v0', 'v0', 'v0'])
  await Promise.all(background)
  expect(fetches()).toBe(2)
  expect(await get()).toBe('v1')
})

test('an answer that is too old is not served, even when no new one can be had', async () => {
  const { clock, get } = setup()
  await get()
  clock.forward(STALE_MS)
  await expect(get('k', () => Promise.reject(new Error('away')))).rejects.toThrow('away')
})

test('where nothing stale may be served, an answer that is not fresh is asked for first', async () => {
  const { clock, get, now } = setup(100, 0)
  await get()
  now('v1')
  clock.forward(FRESH_MS - 1)
  expect(await get()).toBe('v0')
  clock.forward(1)
  expect(await get()).toBe('v1')
  clock.forward(FRESH_MS)
  await expect(get('k', () => Promise.reject(new Error('away')))).rejects.toThrow('away')
})

test('an answer survives a renewal that fails, until it is too old', async () => {
  const { clock, get, background } = setup()
  const away = () => Promise.reject(new Error('away'))
  await get()
  clock.forward(FRESH_MS)
  expect(await get('k', away)).toBe('v0')
  await Promise.all(background)
  expect(await get('k', away)).toBe('v0')
})

test('many that ask for the same at once are answered by one look-up', async () => {
  const { get, fetches } = setup()
  await Promise.all(Array.from({ length: 50 }, () => get()))
  expect(fetches()).toBe(1)
})

test('what is not there is asked for again: it may be there in a second', async () => {
  const { get, fetches } = setup()
  expect(await get('k', async () => null as never)).toBeNull()
  expect(await get()).toBe('v0')
  expect(fetches()).toBe(2)
})

test('after a deletion nobody gets what was asked before it, not even who asks while that is under way', async () => {
  const { cache, get, now } = setup()
  const slow = Promise.withResolvers<string>()
  const before = get('k', () => slow.promise)
  cache.delete(() => true)
  now('after')
  const after = get()
  slow.resolve('before')
  expect(await before).toBe('before')
  expect(await after).toBe('after')
  expect(await get()).toBe('after')
})

test('the number of entries is bounded, and the oldest leave first', async () => {
  const { cache, clock, get } = setup(3)
  for (const key of ['a', 'b', 'c', 'd']) await get(key)
  const held = ['a', 'b', 'c', 'd'].filter(key => cache.fresh(key, clock.now()))
  expect(held).toEqual(['b', 'c', 'd'])
})
