/**
 * Answers of models, kept in memory within bounds. A tenant's model is a partition of its own, with its own
 * bound: no look-up reaches another's, and nobody's flood drives out what another keeps. Over the bound of
 * all together the largest partition loses first.
 */
import { byteSize, type Tensor } from '#core/inference/tensor.ts'

/** What an entry takes besides its tensors: its key, its objects. */
const ENTRY_BYTES = 400

export type KeptAnswer = { outputs: Tensor[]; rows: number; storedAt: number }
type Entry = KeptAnswer & { bytes: number }
type Partition = { entries: Map<string, Entry>; bytes: number }

export class KeptAnswers {
  /** By tenant and model. Entries of each: the least recently used first. */
  readonly #partitions = new Map<string, Partition>()
  readonly #bytesMax: number
  #bytes = 0
  #evicted = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** The answer, unless it is older than `ttlMs`; it counts as used. */
  get(owner: string, key: string, { nowMs, ttlMs }: { nowMs: number; ttlMs: number }) {
    const partition = this.#partitions.get(owner)
    const entry = partition?.entries.get(key)
    if (!entry) return undefined
    if (nowMs - entry.storedAt >= ttlMs) {
      this.#remove(owner, partition!, key, entry)
      return undefined
    }
    partition!.entries.delete(key)
    partition!.entries.set(key, entry)
    return entry satisfies KeptAnswer
  }

  /** Whether it is there, without counting as a use. */
  has(owner: string, key: string): boolean {
    return this.#partitions.get(owner)?.entries.has(key) === true
  }

  /** False when it alone is larger than the bound. */
  put(owner: string, key: string, answer: KeptAnswer, bytesMax: number): boolean {
    const partition = this.#partitions.get(owner) ?? { entries: new Map(), bytes: 0 }
    const before = partition.entries.get(key)
    if (before) this.#remove(owner, partition, key, before)
    const bytes = bytesOf(answer)
    const isFitting = bytes <= Math.min(bytesMax, this.#bytesMax)
    if (isFitting) {
      this.#partitions.set(owner, partition)
      partition.entries.set(key, { ...answer, bytes })
      partition.bytes += bytes
      this.#bytes += bytes
    }
    while (partition.bytes > bytesMax) this.#evict(owner, partition)
    while (this.#bytes > this.#bytesMax) this.#evict(...this.#largest())
    return isFitting
  }

  /** What a tenant's model has no use for any more. */
  forget(owner: string): void {
    this.#bytes -= this.#partitions.get(owner)?.bytes ?? 0
    this.#partitions.delete(owner)
  }

  get size() {
    let entries = 0
    for (const partition of this.#partitions.values()) entries += partition.entries.size
    return { entries, bytes: this.#bytes, evicted: this.#evicted }
  }

  get isEmpty(): boolean {
    return this.#partitions.size === 0
  }

  #evict(owner: string, partition: Partition): void {
    const [[key, entry]] = partition.entries as unknown as [[string, Entry]]
    this.#evicted++
    this.#remove(owner, partition, key, entry)
  }

  #remove(owner: string, partition: Partition, key: string, { bytes }: Entry): void {
    partition.entries.delete(key)
    partition.bytes -= bytes
    this.#bytes -= bytes
    if (partition.entries.size === 0) this.#partitions.delete(owner)
  }

  #largest(): [owner: string, partition: Partition] {
    let [largest] = this.#partitions
    for (const each of this.#partitions) if (each[1].bytes > largest![1].bytes) largest = each
    return largest!
  }
}

function bytesOf({ outputs }: KeptAnswer): number {
  let bytes = ENTRY_BYTES
  for (const { data } of outputs) bytes += byteSize(data)
  return bytes
}
