/** The suite of key records over a map, which stands for KV where there is none. */
import { keyRecordsSuite } from './key-records.ts'

keyRecordsSuite('a map', async () => {
  const kept = new Map<string, string>()
  const store = {
    get: async (name: string) => kept.get(name) ?? null,
    put: async (name: string, value: string) => void kept.set(name, value),
  }
  return { store, close: async () => {} }
})
