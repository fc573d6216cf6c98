/** The worker thread in which shards are coded: one at a time, asking the runner for bytes and runs. */
import { parentPort } from 'node:worker_threads'
import { AppError } from '#core/error.ts'
import { buffersOf, wholeBuffer } from './buffers.ts'
import { codeShard, type ShardIo, type ShardJob } from './code.ts'
import type { Answer, Ask, Fault } from './messages.ts'

const port = parentPort!
let lastId = 0
const waiting = new Map<number, (value: never) => void>()

const io: ShardIo = {
  read(spent) {
    const back = spent ? wholeBuffer(spent) : []
    return ask({ kind: 'read', ...(back.length > 0 && { spent }) }, back)
  },
  run: batch => ask({ kind: 'run', batch }, buffersOf(batch.inputs)),
  write: bytes => ask({ kind: 'write', bytes }, wholeBuffer(bytes)),
  nearlyDone: () => port.postMessage({ kind: 'nearly_done' }),
}

function ask<T>(what: Ask, transfer: ArrayBuffer[] = []): Promise<T> {
  const id = ++lastId
  return new Promise<T>(resolve => {
    waiting.set(id, resolve as (value: never) => void)
    port.postMessage({ id, ...what }, transfer)
  })
}

port.on('message', (message: ShardJob | Answer) => {
  if ('signature' in message) {
    codeShard(message, io).then(
      tally => port.postMessage({ kind: 'done', tally }),
      error => port.postMessage({ kind: 'fault', fault: faultOf(error) }),
    )
    return
  }
  waiting.get(message.id)!(message.value as never)
  waiting.delete(message.id)
})

function faultOf(error: unknown): Fault {
  if (error instanceof AppError) {
    return { code: error.code, public: error.public, internal: error.message }
  }
  return { code: 'internal', internal: String((error as Error)?.stack ?? error) }
}
