// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are pieces of sources.
/**
 * Faults put into either compiler on purpose, in a copy of the sources: a proof that does not see them
 * proves nothing.
 */
import {
  cpSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'

type Patch = [file: string, from: string, to: string]

const SQL = 'core/features/sql.ts'
const SPANS = 'core/features/sql/spans.ts'
const AGGREGATES = 'core/features/sql/aggregates.ts'
const VIEW = 'core/features/online/view.ts'
const ROWS = 'core/features/online/rows.ts'

export const PLANTED = {
  'sql: the event of the moment itself is seen': [[SQL, 'event_time + 1', 'event_time']],
  'sql: what became known later is seen': [
    [SQL, 'greatest(event_time + 1, known_at)', 'event_time + 1'],
  ],
  'sql: the first moment of a window is left out': [
    [SPANS, 'e.event_time >= s.start', 'e.event_time > s.start'],
  ],
  'sql: the last bucket of a window is left out': [
    [SPANS, '(t - 1) // ${bucket} + 1', '(t - 1) // ${bucket}'],
  ],
  'sql: late events are seen': [[SQL, 'known_at - event_time <= ${view.latenessMax}', 'true']],
  'sql: retractions are not seen': [
    [SQL, "const until = isServed ? undone : 'null::bigint'", "const until = 'null::bigint'"],
  ],
  'sql: what is taken back uncovers nothing': [
    [SPANS, 'where s.undone group by', 'where false group by'],
  ],
  'sql: the age of the newest event is off by one': [
    [SPANS, 'e.event_time >= s.t - ', 'e.event_time > s.t - '],
  ],
  'sql: ties are broken by the place alone': [
    [SQL, "'event_time::hugeint * 18446744073709551616 + seq'", "'seq::hugeint'"],
  ],
  'sql: the newest event with a value instead of the newest': [
    [AGGREGATES, "'arg_max_null' : 'arg_min_null'", "'arg_max' : 'arg_min'"],
  ],
  'sql: sums of doubles in the order of the engine': [
    [
      AGGREGATES,
      '    for (const value of list) exact.add(value)',
      '    exact.add(list.reduce((a, b) => a + b, 0))',
    ],
  ],
  'object: retractions hide from the start': [
    [
      VIEW,
      'row.retractedAt !== null && row.retractedAt <= at',
      'row.retractedAt !== null && row.seq % 2 === 0',
    ],
  ],
  'object: a window begins a hop late': [
    [
      VIEW,
      'return from - (((from % span.hop) + span.hop) % span.hop)',
      'return from + span.hop - (((from % span.hop) + span.hop) % span.hop)',
    ],
  ],
  'object: an event is applied as often as it comes': [
    [
      'core/features/partition-object.ts',
      'const before = this.#rows.applied(event.key, entity, entityKey)',
      'const before = null',
    ],
  ],
  'object: late events go to the end': [
    [ROWS, 'while (at > 0 && rows[at - 1]!.eventTime > row.eventTime) at--', ''],
  ],
  'object: its clock begins anew when it wakes': [
    ['core/features/online/clock.ts', 'this.#last = this.#ceiling\n', 'this.#last = 0\n'],
  ],
  'both: texts in the order of UTF-16': [
    ['core/features/compare.ts', 'if (high !== low) return high ? 1 : -1', ''],
  ],
} satisfies Record<string, Patch[]>
export type Fault = keyof typeof PLANTED

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const NEEDED = new Set(['core', 'schemas', 'platform', 'tests', 'package.json'])

/** A copy of the sources with the fault in it. Throws where the code is not what the fault expects. */
export function plant(fault: Fault): { root: string; remove(): void } {
  const root = mkdtempSync(join(tmpdir(), 'galley-planted-'))
  for (const name of NEEDED) {
    const isCode = (path: string) => basename(path) !== 'node_modules'
    cpSync(join(ROOT, name), join(root, name), { recursive: true, filter: isCode })
  }
  symlinkSync(realpathSync(join(ROOT, 'node_modules')), join(root, 'node_modules'))
  for (const [file, from, to] of PLANTED[fault] as Patch[]) {
    const text = readFileSync(join(root, file), 'utf8')
    if (!text.includes(from)) throw new Error(`${file} does not contain "${from}": plant it anew`)
    writeFileSync(join(root, file), text.replaceAll(from, to))
  }
  return { root, remove: () => rmSync(root, { recursive: true, force: true }) }
}
