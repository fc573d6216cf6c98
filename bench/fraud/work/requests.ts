/** Requests from a file of lines, sent to one path; what comes back is written to another file, line by line. */
import { readFileSync, writeFileSync } from 'node:fs'
import type { Work } from '../../live/open-loop.ts'

/** One line of the result. */
export type Answer = { i: number; status: number; ms: number; body: string }

export function work(o: { path: string; from: string; to: string }): Work {
  const bodies = readFileSync(o.from, 'utf8').trimEnd().split('\n')
  const answers: Answer[] = []
  return {
    request: i => ({ path: o.path, body: bodies[i]! }),
    answered(i, status, body, ms) {
      // The generator reads bytes; the file holds text.
      answers.push({ i, status, ms, body: Buffer.from(body, 'latin1').toString() })
    },
    report() {
      writeFileSync(o.to, answers.map(answer => `${JSON.stringify(answer)}\n`).join(''))
      return {}
    },
  }
}
