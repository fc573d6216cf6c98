/**
 * Coding of shards off the thread that serves: JSON of a large row takes a tenth of a second to read.
 * A thread is kept for the next shard and ends when there is none for a while; one that failed or was
 * aborted is thrown away with all that it held.
 */
import { Worker } from 'node:worker_threads'
import { AppError } from '#core/error.ts'
import { keeper } from '../keeper.ts'
import { buffersOf, wholeBuffer } from './buffers.ts'
import type { ShardIo, ShardJob, Tally } from './code.ts'
import type { FromThread } from './messages.ts'

/** Twice what the worst row of `ROW_BYTES_MAX` needs as values. */
const HEAP_MB_MAX = 1_024

const threads = keeper<Worker>({
  start: () =>
    new Worker(new URL('./thread.ts', import.meta.url), {
      env: {},
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB_MAX },
    }),
  stop: worker => void worker.terminate(),
  hold: (worker, held) => (held ? worker.ref() : worker.unref()),
})

/** Rejects with what `io` rejects with, with the abort's reason, or with what the thread found wrong. */
export function codeInThread(job: ShardJob, io: ShardIo, signal: AbortSignal): Promise<Tally> {
  signal.throwIfAborted()
  const worker = threads.take()
  const { promise, resolve, reject } = Promise.withResolvers<Tally>()
  const listeners = {
    message(message: FromThread): void {
      if (message.kind === 'done') {
        stopListening()
        threads.giveBack(worker)
        resolve(message.tally)
      } else if (message.kind === 'nearly_done') {
        io.nearlyDone()
      } else if (message.kind === 'fault') {
        fail(new AppError(message.fault.code, message.fault))
      } else {
        answer(message, io)
          .then(([value, transfer]) => worker.postMessage({ id: message.id, value }, transfer))
          .catch(fail)
      }
    },
    error: (error: Error) => fail(broken(error)),
    exit: (code: number) => fail(broken(new Error(`the coding thread ended with ${code}`))),
  }
  const onAbort = () => fail(signal.reason)

  // One by one: without its own listeners a worker delivers nothing any more.
  function stopListening(): void {
    for (const [name, listener] of Object.entries(listeners)) worker.off(name, listener)
    signal.removeEventListener('abort', onAbort)
  }
  function fail(error: unknown): void {
    stopListening()
    worker.on('error', () => {})
    worker.terminate().then(() => reject(error))
  }

  signal.addEventListener('abort', onAbort)
  for (const [name, listener] of Object.entries(listeners)) worker.on(name, listener)
  worker.postMessage(job)
  return promise
}

type Asked = Extract<FromThread, { id: number }>

async function answer(message: Asked, io: ShardIo): Promise<[unknown, ArrayBuffer[]]> {
  switch (message.kind) {
    case 'read': {
      const chunk = await io.read(message.spent)
      return [chunk, chunk ? wholeBuffer(chunk) : []]
    }
    case 'write':
      return [await io.write(message.bytes), []]
    case 'run': {
      const ran = await io.run(message.batch)
      const spent = buffersOf(message.batch.inputs)
      const outputs = buffersOf(ran.blocks.flatMap(block => block.outputs))
      return [{ ...ran, spent }, [...new Set([...spent, ...outputs])]]
    }
  }
}

function broken(error: Error): AppError {
  const { code } = error as { code?: string }
  if (code === 'ERR_WORKER_OUT_OF_MEMORY') {
    return new AppError('invalid_body', {
      public: 'A row of the input needs more memory to read than there is; write shorter rows.',
      internal: error.message,
    })
  }
  return new AppError('internal', { internal: error.stack ?? error.message, cause: error })
}
