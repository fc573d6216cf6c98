/**
 * Appends receipts until it is killed, or to a given number; says of each on standard output when
 * `append` has returned, and `refused` when it has thrown.
 */
import { writeSync } from 'node:fs'
import { openReceiptLog } from '#gpu-runners/online/receipt-log.ts'

const [folder, from, to = Infinity] = process.argv.slice(2) as [string, string, string?]
const log = { info() {}, error() {} }
const clock = { now: () => Date.now() }
const never = () => new Promise<void>(() => {})
const receipts = openReceiptLog({ clock, log }, { folder, ship: never, onShipped() {} })

let next = Number(from)
function turn(): void {
  const batch = Array.from({ length: 1 + (next % 5) }, () => {
    const number = next++ % 3
    const context = {
      number,
      line: JSON.stringify({ context: number, is: { tenantId: `ten_${number}` } }),
    }
    return { number: next, context, line: `[${number},"rcp_${next}","req_${next}",1,1,1,1,1]` }
  })
  try {
    receipts.append(batch)
    writeSync(1, batch.map(one => `${one.number}\n`).join(''))
  } catch {
    writeSync(1, 'refused\n')
  }
  if (next > Number(to)) process.exit(0)
  setImmediate(turn)
}
turn()
