/** What a runner asks of the functions: asked until it is answered, but not one bad question for ever. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { AppError, problem } from '#core/error.ts'
import { openSigner, placeKey } from '#core/internal/signing.ts'
import { openControl } from '#gpu-runners/control.ts'
import { systemClock as clock } from '#tests/caller.ts'

/** Functions that answer with these errors, one after the other, and then with `{}`. */
async function functionsThat(fail: (asked: number) => AppError | null) {
  let asked = 0
  const server = createServer((_, response) => {
    const error = fail(asked++)
    const body = error ? problem(error, '') : {}
    response.writeHead(error?.status ?? 200).end(JSON.stringify(body))
  }).listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const signer = await openSigner('runner', await placeKey('s'.repeat(40), 'runner'))
  return { control: openControl({ url, signer, clock }, 5), asked: () => asked }
}

test('functions that are away are asked again until they answer', async () => {
  const { control, asked } = await functionsThat(n => (n < 3 ? new AppError('unavailable') : null))
  expect(await control.insist('/x', {})).toEqual({})
  expect(asked()).toBe(4)
})

test('what the functions refuse is not asked again', async () => {
  const { control, asked } = await functionsThat(() => new AppError('stale_epoch'))
  await expect(control.insist('/x', {})).rejects.toMatchObject({ code: 'stale_epoch' })
  expect(asked()).toBe(1)
})

test('a question on which the functions always fail is given up, and its runner is free again', async () => {
  const { control, asked } = await functionsThat(() => new AppError('internal'))
  await expect(control.insist('/x', {})).rejects.toMatchObject({ code: 'internal' })
  expect(asked()).toBeGreaterThan(10)
})

test('a drain ends the asking at once', async () => {
  const { control } = await functionsThat(() => new AppError('unavailable'))
  await expect(control.insist('/x', {}, AbortSignal.timeout(200))).rejects.toThrow()
})
