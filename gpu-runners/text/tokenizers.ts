/**
 * Tokenisers of the models that a runner holds, off the thread that serves. All share one thread, which
 * takes a slice of a request at a time, so that no request waits for the whole of a large one. One under
 * which a slice overran its time gets a thread of its own: whoever made it so holds up nobody else.
 */
import { Worker } from 'node:worker_threads'
import { AppError } from '#core/error.ts'
import type { Answer, Question, Ready } from './messages.ts'

/** Characters and texts of a slice: some tens of milliseconds of the slowest kind of tokeniser. */
const SLICE_CHARS = 16_384
const SLICE_TEXTS = 256
/** Of a slice: hundreds of times what it should take. The tokeniser's own reading is in the first one. */
const SLICE_MS_MAX = 5_000
const HEAP_MB_MAX = 1_024

export type Tokens = { ids: Int32Array[]; vocabulary: number }
export type OpenTokenizer = {
  /** Token ids of each text. Throws `invalid_request` for a text that it fails on, or takes too long for. */
  encode(texts: readonly string[], tokensMax?: number): Promise<Tokens>
  close(): void
}
export type Tokenizers = { open(path: string): OpenTokenizer; close(): Promise<void> }

type Task = { question: Exclude<Question, { drop: number }>; settle: PromiseWithResolvers<Answer> }

export function openTokenizers({ sliceMsMax = SLICE_MS_MAX } = {}): Tokenizers {
  const shared = thread(sliceMsMax)
  const own = new Set<Thread>()
  let lastId = 0

  function open(path: string): OpenTokenizer {
    const tokenizer = ++lastId
    let place = shared
    async function slice(texts: readonly string[], tokensMax?: number): Promise<Answer> {
      try {
        return await place.ask({ tokenizer, path, texts, tokensMax })
      } catch (error) {
        if (error instanceof Overrun && place === shared) {
          place = thread(sliceMsMax)
          own.add(place)
        }
        throw error
      }
    }
    return {
      async encode(texts, tokensMax) {
        const ids: Int32Array[] = []
        let vocabulary = 0
        for (const [from, to] of slicesOf(texts)) {
          const answer = await slice(texts.slice(from, to), tokensMax)
          if ('code' in answer) throw refusal(answer, from)
          let at = 0
          for (const length of answer.lengths) {
            ids.push(answer.ids.subarray(at, at + length))
            at += length
          }
          vocabulary = answer.vocabulary
        }
        return { ids, vocabulary }
      },
      close() {
        if (place === shared) return shared.drop(tokenizer)
        own.delete(place)
        void place.close()
      },
    }
  }

  return {
    open,
    async close() {
      await Promise.all([shared, ...own].map(each => each.close()))
    },
  }
}

function slicesOf(texts: readonly string[]): [number, number][] {
  const slices: [number, number][] = []
  let from = 0
  let chars = 0
  texts.forEach((text, i) => {
    const isFull = i > from && (chars + text.length > SLICE_CHARS || i - from >= SLICE_TEXTS)
    if (isFull) {
      slices.push([from, i])
      from = i
      chars = 0
    }
    chars += text.length
  })
  slices.push([from, texts.length])
  return slices
}

function refusal(
  { code, public: detail, index }: Extract<Answer, { code: unknown }>,
  from: number,
) {
  return new AppError(code, {
    public: detail,
    errors: [{ pointer: `/input/${from + index}`, detail }],
  })
}

/** The tokeniser took longer for a slice than any may, or more memory. */
class Overrun extends AppError {
  constructor(detail: string) {
    super('invalid_request', { public: detail, errors: [{ pointer: '/input', detail }] })
  }
}

type Thread = {
  ask(question: Task['question']): Promise<Answer>
  drop(tokenizer: number): void
  close(): Promise<void>
}

function thread(sliceMsMax: number): Thread {
  const waiting: Task[] = []
  let running: Task | null = null
  let worker: Worker | null = null
  let isReady = false
  let timer: NodeJS.Timeout | undefined

  function start(): Worker {
    const started = new Worker(new URL('./thread.ts', import.meta.url), {
      env: {},
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB_MAX },
    })
    started.unref()
    started.on('message', (said: Answer | Ready) => {
      if (worker !== started) return
      if (said === 'ready') {
        isReady = true
        arm()
        return
      }
      end()?.resolve(said)
      next()
    })
    started.on('error', error => {
      if (worker === started) fail(faultOf(error))
    })
    return started
  }

  function next(): void {
    if (running || waiting.length === 0) return
    running = waiting.shift()!
    worker ??= start()
    worker.postMessage(running.question)
    arm()
  }

  /** How long the thread itself takes to start is nobody's fault. */
  function arm(): void {
    if (!running || !isReady) return
    timer = setTimeout(() => {
      const detail = `The tokeniser of this model took more than ${sliceMsMax} ms for a text of yours; send shorter texts.`
      fail(new Overrun(detail))
    }, sliceMsMax)
  }

  /** The task that was running, its clock stopped. */
  function end() {
    clearTimeout(timer)
    const settle = running?.settle
    running = null
    return settle
  }

  /** The thread cannot be asked to stop: it is ended, and the next question starts another. */
  function fail(error: Error): void {
    const broken = worker
    worker = null
    isReady = false
    void broken?.terminate()
    end()?.reject(error)
    next()
  }

  return {
    ask(question) {
      const settle = Promise.withResolvers<Answer>()
      waiting.push({ question, settle })
      next()
      return settle.promise
    },
    drop(tokenizer) {
      worker?.postMessage({ drop: tokenizer } satisfies Question)
    },
    async close() {
      const last = worker
      worker = null
      isReady = false
      const closed = new AppError('unavailable', { retryable: true, retryAfterS: 1 })
      end()?.reject(closed)
      for (const task of waiting.splice(0)) task.settle.reject(closed)
      await last?.terminate()
    },
  }
}

function faultOf(error: Error): Error {
  if ((error as { code?: string }).code === 'ERR_WORKER_OUT_OF_MEMORY') {
    return new Overrun('The tokeniser of this model needs more memory than there is for it.')
  }
  return new AppError('internal', { internal: error.stack ?? error.message, cause: error })
}
