/** `npm run demo`, or `npm run demo -- <name>`: one show of the product, whose last line is one JSON object. */
const DEMOS: Record<string, () => Promise<unknown>> = {
  'main-job': () => import('./main-job.ts'),
  fraud: () => import('./fraud/demo.ts'),
  loans: () => import('./fraud/loans.ts'),
}

const [name = 'main-job'] = process.argv.slice(2)
const start = Object.hasOwn(DEMOS, name) ? DEMOS[name] : undefined
if (start) await start()
else {
  process.stderr.write(`npm run demo -- <name>, one of: ${Object.keys(DEMOS).join(', ')}\n`)
  process.exitCode = 2
}
