/** What only SQS in the cloud does: throttles, forbids, fails for a part of a batch, answers twice. */
import { createHash } from 'node:crypto'
import { SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs'
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest'
import type { Message, Queue } from '#core/deps.ts'
import { type QueueUrls, sqsQueue } from '#platform/queue/sqs.ts'
import { checkQueues } from '#platform/queue/sqs-client.ts'
import { drain } from '../conformance/queue.ts'
import { type Faulty, first, startFaulty } from './faulty.ts'
import { clientConfig, freshQueues } from './servers.ts'

const BATCH = 'SendMessageBatch'
const THROTTLED = fault('RequestThrottled', 403)
const MISSING = fault('QueueDoesNotExist', 400)
const FORBIDDEN = fault('AccessDenied', 403)

for (const { name, endpoint } of inject('clouds')) {
  describe(`sqs (${name}) in trouble`, () => {
    let faulty: Faulty
    let client: SQSClient
    let urls: QueueUrls
    let queue: Queue

    beforeEach(async () => {
      faulty = await startFaulty(endpoint)
      client = new SQSClient({ ...clientConfig(faulty.endpoint), maxAttempts: 3 })
      urls = await freshQueues(client)
      const blobs = () => Promise.reject(new Error('no body here is large'))
      queue = sqsQueue({ client, urls, blobs, log: { info() {}, error() {} } })
      faulty.asked.length = 0
    })
    afterEach(async () => {
      client.destroy()
      await faulty.close()
    })

    test('what was throttled is asked again, and arrives once', async () => {
      faulty.spoil(first(2, 'SendMessageBatch', THROTTLED))
      await queue.send('work', [{ body: 'x' }])
      expect(faulty.asked.filter(({ action }) => action === 'SendMessageBatch')).toHaveLength(3)
      expect(await drain(queue)).toEqual(['x'])
    })

    test('who is throttled for good is told that it may pass', async () => {
      faulty.spoil(first(Number.POSITIVE_INFINITY, 'SendMessageBatch', THROTTLED))
      const sent = queue.send('work', [{ body: 'x' }])
      await expect(sent).rejects.toMatchObject({ code: 'unavailable', retryable: true })
    })

    test('a connection that breaks off in a call is made anew', async () => {
      faulty.spoil(first(2, 'ReceiveMessage', 'drop'))
      await queue.send('work', [{ body: 'x' }])
      const [message] = await queue.receive('work', { max: 1, waitS: 5 })
      faulty.spoil(first(1, 'DeleteMessageBatch', 'lose'))
      await queue.delete('work', [message!.receipt])
      expect(await queue.receive('work', { max: 1, waitS: 0 })).toEqual([])
    })

    test('an answer that was lost may send twice, and never less than once', async () => {
      faulty.spoil(first(1, 'SendMessageBatch', 'lose'))
      await queue.send('work', [{ body: 'x' }])
      expect(new Set(await drain(queue))).toEqual(new Set(['x']))
    })

    test('of a batch only what failed is sent again', async () => {
      let calls = 0
      faulty.spoil(({ action, body }) => {
        if (action !== 'SendMessageBatch' || calls++ > 0) return null
        const { Entries } = JSON.parse(String(body)) as { Entries: { Id: string }[] }
        const failed = { Code: 'InternalError', Message: 'not now', SenderFault: false }
        return answer({ Failed: Entries.map(({ Id }) => ({ Id, ...failed })), Successful: [] })
      })
      const bodies = Array.from({ length: 10 }, (_, i) => `m${i}`)
      await queue.send(
        'work',
        bodies.map(body => ({ body })),
      )
      expect((await drain(queue)).sort()).toEqual(bodies)
    })

    test('of a batch what is its sender’s fault is not sent again, what is not is, and each sender is told of its own', async () => {
      const words = { poison: true, again: false, poisoned: true }
      const sent = () =>
        faulty.asked.flatMap(({ action, body }) => (action === BATCH ? bodiesOf(body) : []))
      let calls = 0
      faulty.spoil(({ action, body }) => {
        if (action !== BATCH || calls++ > 0) return null
        return outcomes(body, text => words[text as keyof typeof words])
      })
      const trouble = await Promise.all(
        [['poison'], ['again'], ['stored', 'poisoned']].map(bodies =>
          queue
            .send(
              'work',
              bodies.map(body => ({ body })),
            )
            .catch(error => error),
        ),
      )
      const refused = { code: 'internal', retryable: false }
      expect(trouble).toMatchObject([refused, undefined, { ...refused, undone: new Set([1]) }])
      expect(trouble[0].message).toContain(`SendMessage on ${urls.work.url}: WrongContents`)
      expect(sent().sort()).toEqual(['again', 'again', 'poison', 'poisoned', 'stored'])
      expect(await drain(queue)).toEqual(['again'])
    })

    test('a batch that is not taken as it is goes one by one: a message that is wrong has no company', async () => {
      const wrong = fault('InvalidMessageContents', 400)
      faulty.spoil(({ action, body }) =>
        action === BATCH && bodiesOf(body).includes('poison') ? wrong : null,
      )
      const bodies = ['a', 'b', 'poison', 'c']
      const trouble = await queue
        .send(
          'work',
          bodies.map(body => ({ body })),
        )
        .catch(error => error)
      expect(trouble.undone).toEqual(new Set([2]))
      expect((await drain(queue)).sort()).toEqual(['a', 'b', 'c'])
    })

    test('an entry that the answer does not name is sent again: it may not be stored', async () => {
      let calls = 0
      faulty.spoil(({ action }) =>
        action === BATCH && calls++ === 0 ? answer({ Successful: [] }) : null,
      )
      await queue.send('work', [{ body: 'x' }])
      expect(await drain(queue)).toEqual(['x'])
    })

    test('of receipts that are given back together those that failed are given back again, and each caller is told of its own', async () => {
      await queue.send('work', [{ body: 'gone' }, { body: 'again' }, { body: 'stays' }])
      const received: Message[] = []
      while (received.length < 3) {
        received.push(...(await queue.receive('work', { max: 10, waitS: 1 })))
      }
      const receipt = (body: string) => received.find(message => message.body === body)!.receipt
      let calls = 0
      faulty.spoil(({ action, body }) => {
        if (action !== 'DeleteMessageBatch') return null
        const isFirst = calls++ === 0
        return outcomes(body, handle => {
          if (handle === receipt('stays')) return true
          return handle === receipt('again') && isFirst ? false : undefined
        })
      })
      const [mixed, single] = await Promise.all(
        [[receipt('gone'), receipt('stays')], [receipt('again')]].map(receipts =>
          queue.delete('work', receipts).catch(error => error),
        ),
      )
      expect(mixed).toMatchObject({ code: 'internal', undone: new Set([1]) })
      expect(single).toBe(undefined)
      expect(calls).toBe(2)
    })

    test('of dead messages those alone stay dead that could not be sent back', async () => {
      for (const MessageBody of ['a', 'poison', 'b']) {
        await client.send(new SendMessageCommand({ QueueUrl: urls.work.deadUrl, MessageBody }))
      }
      const wrong = fault('InvalidMessageContents', 400)
      faulty.spoil(({ action, body }) =>
        action === BATCH && bodiesOf(body).includes('poison') ? wrong : null,
      )
      await expect(queue.redrive('work', 10)).rejects.toMatchObject({ undone: expect.any(Set) })
      faulty.spoil(() => null)
      expect((await drain(queue)).sort()).toEqual(['a', 'b'])
      const deleted = faulty.asked.filter(({ action }) => action === 'DeleteMessageBatch')
      expect(deleted.flatMap(({ body }) => bodiesOf(body))).toHaveLength(2 + 2)
    })

    test('no call has more than ten messages or a quarter of a megabyte', async () => {
      const bodies = Array.from({ length: 60 }, (_, i) =>
        `${i} `.padEnd(i < 40 ? 10 : 100_000, 'x'),
      )
      await queue.send(
        'work',
        bodies.map(body => ({ body })),
      )
      for (const { body, action } of faulty.asked) {
        if (action !== 'SendMessageBatch') continue
        const { Entries } = JSON.parse(String(body)) as { Entries: { MessageBody: string }[] }
        expect(Entries.length).toBeLessThanOrEqual(10)
        expect(Entries.reduce((n, e) => n + e.MessageBody.length, 0)).toBeLessThanOrEqual(262_144)
      }
      expect((await drain(queue)).sort()).toEqual(bodies.sort())
    })

    test('a queue that is not there, or is not for us, is named to the operator', async () => {
      for (const [trouble, words] of [
        [MISSING, 'SQS has no queue at http'],
        [FORBIDDEN, 'the role needs sqs:SendMessage on it'],
      ] as const) {
        faulty.spoil(first(Number.POSITIVE_INFINITY, 'SendMessageBatch', trouble))
        const told = await queue.send('work', [{ body: 'x' }]).catch(error => error)
        expect(told).toMatchObject({ code: 'internal', retryable: false })
        expect(told.message).toContain(words)
        expect(told.message).toContain(urls.work.url)
        expect(told.public).not.toContain('sqs')
      }
    })

    test('a dead message is deleted after it was sent back: who dies in between has it twice, never not at all', async () => {
      const die = (body: string) =>
        client.send(new SendMessageCommand({ QueueUrl: urls.work.deadUrl, MessageBody: body }))
      await die('x')
      faulty.spoil(first(1, 'SendMessageBatch', FORBIDDEN))
      await expect(queue.redrive('work', 10)).rejects.toMatchObject({ code: 'internal' })
      expect(faulty.asked.map(({ action }) => action)).not.toContain('DeleteMessageBatch')
      await die('y')
      faulty.spoil(first(1, 'DeleteMessageBatch', FORBIDDEN))
      await expect(queue.redrive('work', 10)).rejects.toMatchObject({ code: 'internal' })
      expect(await drain(queue)).toEqual(['y'])
    })

    test('a deployment whose queues or dead letters are not as they must be is refused', async () => {
      await checkQueues(client, urls)
      const elsewhere = { ...urls, work: { ...urls.work, deadUrl: urls.validate.deadUrl } }
      await expect(checkQueues(client, elsewhere)).rejects.toThrow('it must name')
      const gone = `${urls.work.url}-gone`
      const nowhere = { ...urls, work: { url: gone, deadUrl: urls.work.deadUrl } }
      await expect(checkQueues(client, nowhere)).rejects.toThrow(`SQS has no queue at ${gone}`)
    })
  })
}

type Entries = { Entries: { Id: string; MessageBody?: string; ReceiptHandle?: string }[] }

function bodiesOf(request: Buffer): string[] {
  const { Entries } = JSON.parse(String(request)) as Entries
  return Entries.map(entry => entry.MessageBody ?? entry.ReceiptHandle ?? '')
}

/** An answer in which each entry fails by its sender's fault or not, as `isSenders` says of it; undefined: it does not. */
function outcomes(request: Buffer, isSenders: (text: string) => boolean | undefined) {
  const Failed: object[] = []
  const Successful: object[] = []
  for (const [at, text] of bodiesOf(request).entries()) {
    const { Id } = (JSON.parse(String(request)) as Entries).Entries[at]!
    const SenderFault = isSenders(text)
    if (SenderFault === undefined)
      Successful.push({ Id, MessageId: Id, MD5OfMessageBody: md5(text) })
    else Failed.push({ Id, SenderFault, Code: 'WrongContents', Message: 'told by the test' })
  }
  return answer({ Failed, Successful })
}

function md5(text: string): string {
  return createHash('md5').update(text).digest('hex')
}

function answer(body: object, status = 200, headers = {}) {
  const type = { 'content-type': 'application/x-amz-json-1.0' }
  return { status, body: JSON.stringify(body), headers: { ...type, ...headers } }
}

/** As SQS says it in its JSON protocol. */
function fault(type: string, status: number) {
  return answer({ __type: `com.amazonaws.sqs#${type}`, message: 'told by the test' }, status)
}
