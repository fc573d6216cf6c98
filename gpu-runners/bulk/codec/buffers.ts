/** The memory under tensors: handed to another thread instead of copied, and used again. */
import {
  allocate,
  ELEMENT_BYTES,
  type Tensor,
  type TensorData,
  viewOf,
} from '#core/inference/tensor.ts'
import type { Datatype } from '#schemas/signature.ts'

export function buffersOf(tensors: readonly Tensor[]): ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>()
  for (const { data } of tensors) {
    // Texts are many small pieces that may lie in memory of others: those are copied.
    if (Array.isArray(data)) continue
    if (data.buffer instanceof ArrayBuffer) buffers.add(data.buffer)
  }
  return [...buffers]
}

/** The memory under bytes where they are all that lies in it: a part of it may be somebody else's. */
export function wholeBuffer({ buffer, byteLength }: Uint8Array): ArrayBuffer[] {
  return buffer instanceof ArrayBuffer && buffer.byteLength === byteLength ? [buffer] : []
}

/** As many batches as are between reading and running, each with a few inputs. */
const SPARES_MAX = 16

/**
 * Memory of batches, used again: what the collector learns of only by its size is collected late, and by
 * whole collections of everything else. Kept are those that were given back last.
 */
export function spares() {
  let kept: ArrayBuffer[] = []
  return {
    /** An array of so many elements, which holds whatever it held before. */
    take(datatype: Datatype, count: number): TensorData {
      if (datatype === 'BYTES') return allocate(datatype, count)
      const bytes = count * ELEMENT_BYTES[datatype]
      const at = kept.findIndex(buffer => buffer.byteLength === bytes)
      if (at < 0) return allocate(datatype, count)
      const [buffer] = kept.splice(at, 1)
      return viewOf(datatype, buffer!, 0, count)
    },
    giveBack(buffers: readonly ArrayBuffer[]): void {
      kept = [...buffers, ...kept].slice(0, SPARES_MAX)
    },
  }
}
