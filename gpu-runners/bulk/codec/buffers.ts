/** The memory under tensors, to be handed to another thread instead of copied. */
import type { Tensor } from '#core/inference/tensor.ts'

export function buffersOf(tensors: readonly Tensor[]): ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>()
  for (const { data } of tensors) {
    // Texts are many small pieces that may lie in memory of others: those are copied.
    if (Array.isArray(data)) continue
    if (data.buffer instanceof ArrayBuffer) buffers.add(data.buffer)
  }
  return [...buffers]
}
