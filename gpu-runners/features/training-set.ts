/** Training sets for the runner: made in a process of their own. */
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { type Made, RESULT, type TrainingSet } from './messages.ts'
import { inProcess, type Options } from './process.ts'

export type { TrainingSet }
export type Done = Made & { bytes: AsyncIterable<Uint8Array> }

/**
 * Each row of the spine, in its order, with the values of the service at its time: Parquet, whose bytes
 * `use` gets while they exist. `files`: what the relations name, by name. A row that names no entity has
 * what an entity without events has. Throws `invalid_body` for a spine that cannot be read.
 */
export function withTrainingSet<T>(
  scratch: string,
  { files, ...set }: TrainingSet & { files: Record<string, string> },
  signal: AbortSignal,
  use: (done: Done) => Promise<T>,
  more?: Options,
): Promise<T> {
  const work = { task: 'set' as const, ...set }
  return inProcess(
    scratch,
    { work, files },
    signal,
    (made, folder) => {
      const bytes = createReadStream(join(folder, RESULT), { highWaterMark: 262_144 })
      return use({ ...made, bytes })
    },
    more,
  )
}
