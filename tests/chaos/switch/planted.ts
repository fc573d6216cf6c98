/** Safeguards of a switch, removed one at a time: the scenario must see each that is missing. */
import { type Found, isClean } from './attack.ts'

type Planted = {
  /** File, what stands there, what stands there instead; every one of them must be found. */
  patches: [string, string, string][]
  isSeen(found: Found): boolean
}

const SWITCHING = 'edge/rollouts/switching.ts'
const ROUTER = 'gpu-runners/router.ts'
const CONTEXTS = 'gpu-runners/online/shared-contexts.ts'

export const SWITCH_PLANTED = {
  // A version serves before a runner has loaded it, and so does one that none can load.
  warm: {
    patches: [
      [SWITCHING, 'if (planned.to) await warm(edge, call, change, planned, planned.to)', ''],
    ],
    isSeen: found => !isClean(found) && found.refused === 0,
  },
  // The requests of a lost runner are refused instead of being sent to another.
  resend: {
    patches: [
      [
        ROUTER,
        'pending.losses++\n      place(pending)',
        "pending.reject(new AppError('unavailable'))",
      ],
    ],
    isSeen: ({ book }) => book.dropped > 0,
  },
  // Versions of one model are taken for one, and nobody holds an answer against what was asked.
  mixing: {
    patches: [
      [CONTEXTS, '#ids.get(name)', '#ids.get(model.model)'],
      [CONTEXTS, '#ids.set(name, id)', '#ids.set(model.model, id)'],
      [ROUTER, 'head.made === digestMark(model.digest)', 'head.made >= 0'],
    ],
    isSeen: ({ book }) => book.mixed > 0,
  },
} satisfies Record<string, Planted>

export type SwitchFault = keyof typeof SWITCH_PLANTED
