/** Safeguards of a runner that leaves, removed one at a time: the scenario must see each that is missing. */
import { PLANTED } from '../planted.ts'
import type { Found } from './attack.ts'

type Planted = {
  /** File, what stands there, what stands there instead; every one of them must be found. */
  patches: [string, string, string][]
  isSeen(found: Found): boolean
}

const STEPS = 'gpu-runners/steps.ts'
const LEAVE = 'gpu-runners/leaving/leave.ts'
const NOTICES = 'gpu-runners/leaving/notices.ts'

export const SPOT_PLANTED = {
  // A notice is read and told of, and nobody leaves.
  deaf: {
    patches: [[NOTICES, 'onNotice(notice)\n', '']],
    isSeen: ({ faults }) => faults.some(fault => fault.includes('did not leave')),
  },
  // A runner that leaves does so at once, and lets its leases run out.
  rushed: {
    patches: [[LEAVE, 'const drainMs = budgetMs * DRAIN_SHARE', 'const drainMs = 0']],
    isSeen: ({ reworkAfterNotice }) => reworkAfterNotice > 0,
  },
  // It hands back at once what a second more would have ended.
  impatient: {
    patches: [[LEAVE, 'Math.min(budgetMs * FINISH_SHARE, FINISH_MS_MAX)', 'Math.min(budgetMs, 0)']],
    isSeen: ({ reworkAfterNotice }) => reworkAfterNotice > 0,
  },
  // The next shard begins while the last one is stored and told: a kill between costs both.
  eager: {
    patches: [
      [STEPS, 'await Promise.race([left.promise, comes])', 'await Promise.resolve()'],
      [
        STEPS,
        "'/internal/steps/finish', finish, lost.signal)",
        "'/internal/steps/finish', await new Promise<typeof finish>(told => setTimeout(told, 3_000, finish)), lost.signal)",
      ],
    ],
    isSeen: ({ reworkMost }) => reworkMost > 1,
  },
  // The ledger takes a receipt as often as it comes: from the copies, and from the log that was left.
  twice: {
    patches: PLANTED.dedupe.patches,
    isSeen: ({ verdict }) => verdict.billedTwice > 0,
  },
} satisfies Record<string, Planted>

export type SpotFault = keyof typeof SPOT_PLANTED
