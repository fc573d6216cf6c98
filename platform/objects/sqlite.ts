/**
 * Hosts single-writer objects over `node:sqlite`, one file each, as a Durable Object is hosted: calls
 * run one after another, those that arrive in one turn share a commit, and no reply leaves before
 * what it tells is on disk. Work blocks this thread: give the host a process of its own.
 */
import { closeSync, fsyncSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock, Log } from '#core/deps.ts'
import { AppError } from '#core/error.ts'
import type { ObjectClass, ObjectMethods } from './classes.ts'
import { type ObjectFile, openObjectFile } from './file.ts'
import type { ObjectMeasures } from './measures.ts'

/** An object that rests for so long gives its memory and its file back. */
const IDLE_MS = 60_000
/** Each holds two file descriptors. */
const OPEN_MAX_DEFAULT = 400
/** Lower case only: some file systems do not tell cases apart. */
const NAME = /^[a-z0-9][a-z0-9_-]{0,127}$/

export type ObjectHost = {
  /** The method's reply, once it is on disk. Throws the method's own error, having undone its writes. */
  call(className: string, name: string, method: string, input: unknown): Promise<unknown>
  /** Commits what is waiting and closes the files. */
  close(): void
}
type Options = {
  folder: string
  classes: Record<string, ObjectClass>
  clock: Clock
  log: Log
  openMax?: number
  measures?: ObjectMeasures
}
type Awake = { file: ObjectFile; methods: ObjectMethods | null; usedAt: number }
type Waiting = {
  method: string
  input: unknown
  resolve(reply: unknown): void
  reject(e: unknown): void
}

/** Opens the host on a folder that no other process uses. */
export function openObjects(options: Options): ObjectHost {
  const host = new Host(options)
  const sweep = setInterval(() => host.rest(), IDLE_MS / 4)
  sweep.unref()
  return {
    call: (className, name, method, input) => host.call(className, name, method, input),
    close() {
      clearInterval(sweep)
      host.close()
    },
  }
}

class Host {
  readonly #options: Options
  /** By `<class>/<name>`, the least recently used first. */
  readonly #awake = new Map<string, Awake>()
  #waiting = new Map<string, Waiting[]>()
  readonly #openMax: number
  #closed = false

  constructor(options: Options) {
    this.#options = options
    this.#openMax = options.openMax ?? OPEN_MAX_DEFAULT
    for (const className of Object.keys(options.classes)) {
      mkdirSync(join(options.folder, className), { recursive: true, mode: 0o700 })
    }
    // SQLite syncs the folder that a file is made in; the folders themselves are ours to sync.
    syncFolder(options.folder)
  }

  call(className: string, name: string, method: string, input: unknown): Promise<unknown> {
    if (!Object.hasOwn(this.#options.classes, className) || !NAME.test(name) || this.#closed) {
      return Promise.reject(this.#closed ? closing() : unknownObject(className, name))
    }
    const id = `${className}/${name}`
    return new Promise((resolve, reject) => {
      if (this.#waiting.size === 0) setImmediate(() => this.#flush())
      const calls = this.#waiting.get(id)
      const call = { method, input, resolve, reject }
      if (calls) calls.push(call)
      else this.#waiting.set(id, [call])
    })
  }

  /** Closes what has been idle for long, and the least recently used of too many. */
  rest(): void {
    const before = this.#options.clock.now() - IDLE_MS
    for (const [id, { usedAt }] of this.#awake) {
      if (usedAt < before || this.#awake.size > this.#openMax) this.#sleep(id)
    }
  }

  close(): void {
    this.#flush()
    this.#closed = true
    for (const id of [...this.#awake.keys()]) this.#sleep(id)
  }

  #flush(): void {
    const due = this.#waiting
    this.#waiting = new Map()
    for (const [id, calls] of due) this.#commit(id, calls)
    if (this.#awake.size > this.#openMax) this.rest()
  }

  #commit(id: string, calls: Waiting[]): void {
    const replies: (() => void)[] = []
    let object: Awake | undefined
    const fail = (error: unknown) => {
      // What it remembers may be ahead of the disk now: it wakes anew from what was committed.
      if (this.#awake.get(id) === object) this.#sleep(id)
      for (const call of calls) call.reject(error)
    }
    const answer = () => {
      for (const reply of replies) reply()
    }
    try {
      const began = performance.now()
      const awake = this.#wake(id)
      object = awake
      awake.file.commit(() => {
        for (const call of calls) replies.push(this.#answer(id, awake, call))
      })
      const committed = performance.now()
      this.#options.measures?.turn(classOf(id), calls.length, committed - began)
      const synced = awake.file.synced()
      // Those that only read wait as well: they may tell what is not on disk yet.
      if (!synced) answer()
      else {
        synced.then(() => {
          this.#options.measures?.synced(classOf(id), performance.now() - committed)
          answer()
        }, fail)
      }
    } catch (error) {
      fail(error)
    }
  }

  /** Runs one call within the commit; the reply is for later. */
  #answer(id: string, object: Awake, { method, input, resolve, reject }: Waiting): () => void {
    // Waking is a step of its own: what it made must outlast a call that is refused.
    const awake = object.methods
      ? { value: object.methods }
      : object.file.step(() => this.#methodsOf(id, object.file))
    if ('error' in awake) return () => reject(awake.error)
    const methods = awake.value
    object.methods = methods
    const outcome = object.file.step(() => {
      if (!Object.hasOwn(methods, method)) throw unknownMethod(id, method)
      return methods[method]!(input)
    })
    if ('value' in outcome) return () => resolve(outcome.value)
    object.methods = null
    return () => reject(outcome.error)
  }

  #methodsOf(id: string, file: ObjectFile): ObjectMethods {
    const { classes, clock } = this.#options
    return classes[classOf(id)]!(file.sql, clock)
  }

  #wake(id: string): Awake {
    const usedAt = this.#options.clock.now()
    const known = this.#awake.get(id)
    const object = known ?? {
      file: openObjectFile(join(this.#options.folder, `${id}.db`)),
      methods: null,
      usedAt,
    }
    object.usedAt = usedAt
    this.#awake.delete(id)
    this.#awake.set(id, object)
    return object
  }

  #sleep(id: string): void {
    const object = this.#awake.get(id)
    this.#awake.delete(id)
    try {
      object?.file.close()
    } catch (error) {
      this.#options.log.error('objects.not_closed', { object: id, error: String(error) })
    }
  }
}

function classOf(id: string): string {
  return id.slice(0, id.indexOf('/'))
}

function syncFolder(path: string): void {
  const fd = openSync(path, 'r')
  fsyncSync(fd)
  closeSync(fd)
}

function unknownObject(className: string, name: string): AppError {
  return new AppError('not_found', { public: `There is no object "${className}/${name}".` })
}

function unknownMethod(id: string, method: string): AppError {
  return new AppError('not_found', { public: `The object ${id} has no method "${method}".` })
}

function closing(): AppError {
  return new AppError('unavailable', { internal: 'the objects are closing', retryable: true })
}
