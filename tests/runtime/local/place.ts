/** A small place: says who it is, then behaves as its name tells. */
import { writeFileSync } from 'node:fs'
import { endWithParent, reportReady } from '#platform/parent.ts'

const [kind] = process.argv.slice(2)
const name = process.env.PLACE_NAME ?? kind ?? 'place'

if (name === 'broken') {
  process.stderr.write('there is no bread\n')
  process.exit(3)
}
endWithParent(why => writeFileSync(`run/${name}.ended`, why))
writeFileSync(`run/${name}.port`, process.env.GALLEY_FUNCTIONS_PORT ?? '')
reportReady()
// Deaf to every request from the moment that it is up.
if (name === 'hung') for (;;);
