/** Plays cases on the sources that it stands among; exit status 3 says that something wrong was seen. */
import { faults, prove } from './prove.ts'

const [seed, cases] = process.argv.slice(2).map(Number) as [number, number]
// A promise that nobody takes is a fault that was planted, too.
process.on('unhandledRejection', () => process.exit(3))
try {
  const proof = await prove({ seed, cases, errorsMax: 1 })
  process.exit(faults(proof) > 0 ? 3 : 0)
} catch {
  process.exit(3)
}
