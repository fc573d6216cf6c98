/** Faults on purpose, in a copy of the sources: a proof that does not see them proves nothing. */
import { type Copy, copyWith } from '../../chaos/planted.ts'
import type { Place } from '../../chaos/processes.ts'

export type Planted = {
  patches: [file: string, from: string, to: string][]
  /** What dies meanwhile. */
  places: Place[]
  /** What the proof must find then. */
  finds: 'order_violations' | 'lost'
}

export const PLANTED: Record<string, Planted> = {
  // It counts the payment that it judges, and those that came after it.
  'what came by itself is judged as of now': {
    patches: [
      [
        'core/features/partition-object.ts',
        'applied ? applied.knownAt - 1 : this.#time.tick()',
        'this.#time.tick()',
      ],
    ],
    places: ['edge', 'objects'],
    finds: 'order_violations',
  },
  // While the functions are away, what was decided is struck off and never told.
  'a delivery that failed is not repeated': {
    patches: [
      [
        'platform/objects/delivery.ts',
        "await deliver(name.slice(0, name.lastIndexOf('-')), decided)",
        "await deliver(name.slice(0, name.lastIndexOf('-')), decided).catch(() => {})",
      ],
    ],
    places: ['functions', 'functions'],
    finds: 'lost',
  },
}

export function plant({ patches }: Planted): Copy {
  return copyWith('decisions', patches)
}
