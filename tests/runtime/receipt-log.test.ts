/** The runner's log of receipts: what `append` returned for reaches the ledger, whatever dies. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs, { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { AppError } from '#core/error.ts'
import { entriesOf, type Line } from '#core/usage/receipt-log.ts'
import { openReceiptLog } from '#gpu-runners/online/receipt-log.ts'
import { handClock } from '#tests/caller.ts'

const WRITER = fileURLToPath(new URL('receipts/writer.ts', import.meta.url))
let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'galley-receipts-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
})

/** A log whose ledger takes or refuses as the test says. */
function open(ship: (lines: Line[]) => Promise<void> | void = () => {}, clock = handClock()) {
  const shipped: Line[][] = []
  const counts: number[] = []
  const errors: string[] = []
  const receipts = openReceiptLog(
    { clock, log: { info() {}, error: event => void errors.push(event) } },
    {
      folder,
      async ship(text) {
        const lines = JSON.parse(text) as Line[]
        await ship(lines)
        shipped.push(lines)
      },
      onShipped: count => counts.push(count),
    },
  )
  return { receipts, shipped, counts, errors, clock }
}
const context = (number: number) => ({
  number,
  line: JSON.stringify({ context: number, is: { tenantId: `ten_${number}` } }),
})
const line = (number: number, id: string | number) => ({
  context: context(number),
  line: `[${number},"rcp_${id}","req_${id}",1,1,1,1,1]`,
})
const idsOf = (batches: Line[][]) =>
  batches.flatMap(lines => entriesOf(lines).entries.flatMap(one => one.receipts.map(r => r.id)))
const segments = () => readdirSync(folder).filter(name => name.endsWith('.log'))
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(5)
}

test('a process killed with -9 in the middle loses no receipt that append returned for', async () => {
  let from = 0
  const acknowledged: string[] = []
  for (const ms of [40, 90, 160]) {
    const child = spawn(process.execPath, [WRITER, folder, String(from)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let said = ''
    child.stdout.on('data', chunk => {
      said += chunk
    })
    await once(child.stdout, 'data')
    await sleep(ms)
    child.kill('SIGKILL')
    await once(child, 'close')
    acknowledged.push(
      ...said
        .split('\n')
        .slice(0, -1)
        .map(number => `rcp_${number}`),
    )
    from += 1_000_000
  }
  expect(acknowledged.length).toBeGreaterThan(100)
  const { receipts, shipped } = open()
  await until(() => segments().length === 0)
  await receipts.close(1000)
  const ids = new Set(idsOf(shipped))
  expect(acknowledged.filter(id => !ids.has(id))).toEqual([])
})

test('half a line, zeros and rubble that a failure left are skipped, and every whole line around them kept', async () => {
  const whole = [context(0).line, line(0, 'a').line]
  writeFileSync(join(folder, '000000000000001-9-0.log'), `${whole.join('\n')}\n[0,"rcp_torn","req`)
  const rubble = ['\0'.repeat(50), '[0,"rcp_', '}{', 'null', '{}']
  writeFileSync(
    join(folder, '000000000000002-9-0.log'),
    `${[...whole, ...rubble, line(0, 'b').line].join('\n')}\n`,
  )
  writeFileSync(join(folder, '000000000000003-9-0.log'), '')
  const { receipts, shipped, errors } = open()
  await until(() => segments().length === 0)
  await receipts.close(1000)
  expect(idsOf(shipped)).toEqual(['rcp_a', 'rcp_a', 'rcp_b'])
  expect(errors).toContain('receipts.torn_line')
  expect(errors).toContain('receipts.broken_lines')
})

test('segments are shipped in the order of their receipts, one after the other', async () => {
  const { receipts, shipped, clock } = open()
  for (let i = 0; i < 25; i++) {
    // Larger than a segment, so that each append ends one, many within one millisecond.
    receipts.append([
      line(0, i),
      { context: context(1), line: `[1,"rcp_x","${'x'.repeat(4_200_000)}",1,1,1,1,1]` },
    ])
    if (i === 12) clock.forward(-60_000)
  }
  await receipts.close(10_000)
  await until(() => segments().length === 0)
  const order = idsOf(shipped).filter(id => id !== 'rcp_x')
  expect(order).toEqual(Array.from({ length: 25 }, (_, i) => `rcp_${i}`))
})

test('a segment is deleted only when the ledger has it, and comes again until then', async () => {
  let refusals = 0
  let mayPass = false
  const { receipts, shipped, counts } = open(() => {
    if (mayPass) return
    refusals++
    throw new Error('no ledger')
  })
  receipts.append([line(0, 'a'), line(0, 'b')])
  await until(() => refusals >= 2)
  expect(segments()).toHaveLength(1)
  expect(counts).toEqual([])
  expect(readFileSync(join(folder, segments()[0]!), 'utf8')).toContain('rcp_b')
  mayPass = true
  // The file goes first, and the count follows when that is sure.
  await until(() => counts.length > 0)
  expect(segments()).toEqual([])
  expect(idsOf(shipped)).toEqual(['rcp_a', 'rcp_b'])
  expect(counts).toEqual([2])
  await receipts.close(1000)
})

test('a segment on which the ledger fails holds up no other, and the count waits for it', async () => {
  let isMended = false
  let failures = 0
  const { receipts, shipped, counts } = open(lines => {
    if (isMended || !lines.some(line => JSON.stringify(line).includes('rcp_bad'))) return
    failures++
    throw new AppError('internal')
  })
  receipts.append([line(0, 'a'), line(0, 'bad')])
  await until(() => failures > 0)
  receipts.append([line(0, 'b')])
  await until(() => idsOf(shipped).includes('rcp_b') && counts.length > 0)
  expect(counts.at(-1)).toBe(0)
  isMended = true
  await until(() => counts.at(-1) === 3)
  expect(segments()).toEqual([])
  await receipts.close(1000)
})

test.runIf(process.platform === 'linux')(
  'what a disk that fills up refuses is refused whole: it reaches neither the caller nor the bill',
  async () => {
    // A limit on the size of files ends writes in the middle, as the end of a disk does.
    const limited = [
      "trap '' XFSZ; ulimit -f 8; exec",
      process.execPath,
      WRITER,
      folder,
      '0',
      '200',
    ]
    const child = spawn('/bin/sh', ['-c', limited.join(' ')], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const said: string[] = []
    createInterface({ input: child.stdout }).on('line', text => said.push(text))
    await once(child, 'close')
    const acknowledged = said.filter(one => one !== 'refused').map(number => `rcp_${number}`)
    expect(acknowledged.length).toBeGreaterThan(50)
    expect(said).toContain('refused')
    const { receipts, shipped } = open()
    await until(() => segments().length === 0)
    await receipts.close(1000)
    expect(idsOf(shipped).sort()).toEqual(acknowledged.sort())
  },
)

test('the count of shipped receipts speaks of this process alone, not of what a dead one left', async () => {
  writeFileSync(
    join(folder, '000000000000001-9-0.log'),
    `${context(0).line}\n${line(0, 'old').line}\n`,
  )
  const { receipts, shipped, counts } = open()
  receipts.append([line(0, 'new')])
  await until(() => segments().length === 0 && (counts.at(-1) ?? 0) > 0)
  expect(counts.at(-1)).toBe(1)
  expect(idsOf(shipped).sort()).toEqual(['rcp_new', 'rcp_old'])
  await receipts.close(1000)
})

test('every segment names its contexts itself, so none depends on one that is gone', async () => {
  const { receipts, shipped } = open()
  for (const id of ['a', 'b', 'c']) {
    receipts.append([line(7, id)])
    await until(() => idsOf(shipped).includes(`rcp_${id}`))
  }
  for (const lines of shipped) expect(entriesOf(lines).orphans).toBe(0)
  await receipts.close(1000)
})

test('closing waits no longer than it may for a ledger that does not answer, and leaves what it holds', async () => {
  let asked = 0
  const { receipts } = open(() => {
    asked++
    return new Promise(() => {})
  })
  receipts.append([line(0, 'a')])
  await until(() => asked > 0)
  receipts.append([line(0, 'b')])
  await receipts.close(100)
  const left = segments()
    .map(name => readFileSync(join(folder, name), 'utf8'))
    .join('')
  expect(left).toContain('rcp_a')
  expect(left).toContain('rcp_b')
})

test('on a disk that falls behind, what is told waits until it is synced', async () => {
  const real = fs.fdatasync
  const syncs: (() => void)[] = []
  fs.fdatasync = ((fd, done) => void syncs.push(() => real(fd, done))) as typeof fs.fdatasync
  syncBuiltinESMExports()
  onTestFinished(() => {
    fs.fdatasync = real
    syncBuiltinESMExports()
  })
  const { receipts } = open()
  receipts.append([line(0, 'a')])
  expect(receipts.overdue()).toBeNull()
  await until(() => syncs.length === 1)
  await sleep(60)
  receipts.append([line(0, 'b')])
  const held = receipts.overdue()
  expect(held).not.toBeNull()
  let isSynced = false
  void held!.then(() => {
    isSynced = true
  })
  syncs.shift()!()
  // The sync that was under way began before the second receipt: it does not count for it.
  await until(() => syncs.length > 0)
  expect(isSynced).toBe(false)
  while (!isSynced) {
    syncs.shift()?.()
    await sleep(5)
  }
  syncs.splice(0)
  fs.fdatasync = real
  syncBuiltinESMExports()
  await until(() => {
    receipts.append([line(0, 'c')])
    return receipts.overdue() === null
  })
  await receipts.close(1000)
})
