/**
 * pg-boss behind our queue interface, as close as its own means come: the other side of the queue
 * benchmark and of the decision about it. It is no dependency; its path is an argument.
 */
import { pathToFileURL } from 'node:url'
import type pg from 'pg'
import type { Message, Queue } from '#core/deps.ts'
import { checkOutgoing, checkReceive } from '#platform/queue/message.ts'
import { QUEUES, type QueueName } from '#schemas/queues.ts'

type Attempt = { id: string; retryCount: number }
type Job = Attempt & { data: { body: string } }
type Boss = {
  on(event: 'error', listener: (error: Error) => void): void
  start(): Promise<unknown>
  stop(options: { graceful: boolean }): Promise<void>
  createQueue(name: string, options: object): Promise<void>
  deleteAllJobs(name: string): Promise<void>
  insert(name: string, jobs: object[]): Promise<unknown>
  send(name: string, data: object): Promise<unknown>
  fetch(name: string, options: object): Promise<Job[]>
  deleteJob(name: string, jobs: Attempt[]): Promise<unknown>
  fail(name: string, job: Attempt): Promise<{ affected: number }>
  touch(name: string, job: Attempt): Promise<{ affected: number }>
  work(name: string, options: object, handler: (jobs: Job[]) => Promise<void>): Promise<string>
  offWork(name: string): Promise<void>
  findJobs(name: string): Promise<unknown[]>
}

/** How often a waiting receive asks: `fetch` has no wait of its own. */
const ASK_MS = 50

export async function openPgBoss(path: string, connection: pg.ClientConfig) {
  const { PgBoss } = (await import(pathToFileURL(path).href)) as {
    PgBoss: new (options: object) => Boss
  }
  const intervals = { superviseIntervalSeconds: 1, monitorIntervalSeconds: 1 }
  const boss = new PgBoss({ ...connection, ...intervals, max: 10, useListenNotify: true })
  boss.on('error', () => {})
  await boss.start()
  for (const [name, settings] of Object.entries(QUEUES)) {
    await boss.createQueue(`${name}-dead`, {})
    await boss.createQueue(name, {
      deadLetter: `${name}-dead`,
      retryLimit: settings.receiveCountMax - 1,
      expireInSeconds: settings.visibilityS,
      notify: true,
    })
  }
  return {
    boss,
    queue: asQueue(boss),
    empty: async () => {
      for (const name of Object.keys(QUEUES)) {
        await boss.deleteAllJobs(name)
        await boss.deleteAllJobs(`${name}-dead`)
      }
    },
    close: () => boss.stop({ graceful: false }),
  }
}

function asQueue(boss: Boss): Queue {
  return {
    async send(name, messages) {
      checkOutgoing(messages)
      const jobs = messages.map(m => ({ data: { body: m.body }, startAfter: m.delayS }))
      if (jobs.length > 0) await boss.insert(name, jobs)
    },
    async receive(name, options) {
      checkReceive(options)
      const { max, waitS, signal } = options
      const untilMs = performance.now() + waitS * 1_000
      for (;;) {
        if (signal?.aborted) return []
        const jobs = await boss.fetch(name, { batchSize: max, includeMetadata: true })
        if (jobs.length > 0 || performance.now() >= untilMs) return jobs.map(toMessage)
        await new Promise(resolve => setTimeout(resolve, ASK_MS))
      }
    },
    async delete(name, receipts) {
      const attempts = receipts.flatMap(parse)
      if (attempts.length > 0) await boss.deleteJob(name, attempts)
    },
    async extend(name: QueueName, receipt, visibilityS) {
      const [attempt] = parse(receipt)
      if (!attempt) return false
      // There is no visibility per message: a job can be failed, to be tried again, or kept alive.
      const settle = visibilityS === 0 ? boss.fail : boss.touch
      return (await settle.call(boss, name, attempt)).affected === 1
    },
    async dead(name) {
      return (await boss.findJobs(`${name}-dead`)).length
    },
    redrive: () => Promise.reject(new Error('no part of the comparison')),
  }
}

function toMessage(job: Job): Message {
  const receipt = `${job.id} ${job.retryCount}`
  return { id: job.id, body: job.data.body, receipt, receiveCount: job.retryCount + 1 }
}

function parse(receipt: string): Attempt[] {
  const [id, retryCount] = receipt.split(' ')
  return id && retryCount ? [{ id, retryCount: Number(retryCount) }] : []
}
