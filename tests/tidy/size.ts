/** Files stay small enough to read in one go. */
import type { Rule } from './rule.ts'
import { isCode } from './source.ts'

const SOURCE_LINES_MAX = 250
const TEST_LINES_MAX = 400
const FOLDER_FILES_MAX = 16

/** Files over the limit and the lines that they may have. Numbers here may only get smaller. */
const LARGER: Record<string, number> = {
  'core/models/onnx/wire.ts': 264,
}

/** Folders over the limit and the files that they may have. Numbers here may only get smaller. */
const FULLER: Record<string, number> = {
  local: 20,
  'tests/chaos': 20,
  // One file per guarantee; their names are the order.
  'tests/runtime': 60,
}

export const size: Rule = {
  name: 'a file is read in one go',
  faults: sources => {
    const written = sources.filter(s => isCode(s) && !s.path.includes('.generated.'))
    const long = written.flatMap(({ path, text }) => {
      const lines = text.split('\n').length - 1
      const usual = path.startsWith('tests/') ? TEST_LINES_MAX : SOURCE_LINES_MAX
      const max = LARGER[path] ?? usual
      if (lines > max)
        return [{ path, line: lines, says: `has ${lines} lines; split it (≤ ${max})` }]
      if (lines > usual || !(path in LARGER)) return []
      return [{ path, line: lines, says: 'is small enough now; take it off the list in size.ts' }]
    })
    return long
  },
  plants: [[{ path: 'core/a.ts', text: 'x\n'.repeat(SOURCE_LINES_MAX + 1) }]],
  spares: [[{ path: 'tests/a.test.ts', text: 'x\n'.repeat(SOURCE_LINES_MAX + 1) }]],
}

export const folders: Rule = {
  name: 'a folder is taken in at one look',
  faults: sources => {
    const counts = new Map<string, number>()
    for (const { path } of sources.filter(isCode)) {
      const folder = path.slice(0, path.lastIndexOf('/'))
      counts.set(folder, (counts.get(folder) ?? 0) + 1)
    }
    return [...counts]
      .filter(([path, count]) => count > (FULLER[path] ?? FOLDER_FILES_MAX))
      .map(([path, count]) => ({ path, line: 0, says: `has ${count} files; split it by feature` }))
  },
  plants: [
    Array.from({ length: FOLDER_FILES_MAX + 1 }, (_, i) => ({ path: `core/x/${i}.ts`, text: '' })),
  ],
}
