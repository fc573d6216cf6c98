/** Runs cases on the sources that it stands among; exit status 3 says that a mismatch was seen. */
import { prove } from './prove.ts'

const [seed, cases] = process.argv.slice(2).map(Number) as [number, number]
try {
  const { mismatches } = await prove({ seed, cases, mismatchesMax: 1 })
  process.exit(mismatches.length > 0 ? 3 : 0)
} catch {
  // A fault that makes a compiler throw is seen as well.
  process.exit(3)
}
