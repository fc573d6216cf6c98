/** Results in the order of their rows: what waits to be written is bounded, and counted as it leaves. */
import { expect, test } from 'vitest'
import { orderedOutput } from '#gpu-runners/bulk/codec/ordered.ts'

const TEXT = 'a'.repeat(131_072)

test('what was written is not counted as waiting, though its memory is another thread’s by then', async () => {
  const rows = 40
  let written = 0
  const stuck = Promise.withResolvers<void>()
  const output = orderedOutput(rows, async bytes => {
    const { length } = bytes
    structuredClone(bytes, { transfer: [bytes.buffer as ArrayBuffer] })
    if (++written === rows) await stuck.promise
    expect(length).toBe(TEXT.length)
  })
  for (let row = 0; row < rows; row++) output.put(row, TEXT)
  while (written < rows) await null
  // The last one alone is under way.
  await output.room(TEXT.length)
  stuck.resolve()
  await output.end()
})

test('rows that come in any order are written in theirs', async () => {
  let text = ''
  const output = orderedOutput(4, async bytes => {
    text += Buffer.from(bytes).toString()
  })
  for (const row of [2, 0, 3, 1]) output.put(row, `${row};`)
  expect(output.waiting(4)).toBe(0)
  await output.end()
  expect(text).toBe('0;1;2;3;')
})
