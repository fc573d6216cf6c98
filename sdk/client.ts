/**
 * The client of Galley's API: it knows HTTP and the generated contract, and runs wherever the Web
 * standards do. `node.ts` adds what needs a file system.
 */
import {
  type Contract,
  type Job,
  type Manifest,
  ROUTES,
  type RouteName,
  type Version,
} from './contract.generated.ts'
import { GalleyError } from './error.ts'
import { type InferInput, infer, inferBinary, type TypedInput } from './inference/infer.ts'
import {
  type JobInput,
  resultChunks,
  runJob,
  type TrainingSetInput,
  type WaitOptions,
  waitForJob,
} from './jobs.ts'
import { type PublishFiles, type PublishOptions, publish } from './publish.ts'
import { type Bytes, type CallOptions, type Connection, send } from './transport.ts'
import { type Source, type UploadOptions, upload } from './upload.ts'

export * from './contract.generated.ts'
export { GalleyError } from './error.ts'
export type { InferReply, TypedReply, TypedTensor } from './inference/infer.ts'
export type { Source } from './upload.ts'

export type Options = {
  /** Where Galley is, such as `http://127.0.0.1:4500`. */
  baseUrl: string
  key?: string
  fetch?: typeof fetch
}

export type RequestOptions = CallOptions & {
  /** Of a route that creates; made up where it is not given, so that a retry creates nothing twice. */
  idempotencyKey?: string
  headers?: Record<string, string>
  /** Overrules what the method says of whether the call may run twice. */
  repeatable?: boolean
}

type Input<N extends RouteName> = Contract[N]['input']
export type Reply<N extends RouteName> = Contract[N]['reply']
type Page = { data: unknown[]; next_cursor: string | null }
/** Routes that list by pages. */
export type ListName = {
  [N in RouteName]: Reply<N> extends Page ? N : never
}[RouteName]
export type Item<N extends ListName> = Reply<N> extends { data: (infer T)[] } ? T : never

type Arguments<N extends RouteName> =
  Record<never, never> extends Input<N>
    ? [input?: Input<N>, options?: RequestOptions]
    : [input: Input<N>, options?: RequestOptions]

type AnyInput = {
  params?: Record<string, string>
  query?: Record<string, string | number | undefined>
  body?: unknown
}

export class Galley {
  readonly connection: Connection

  constructor(options: Options) {
    this.connection = {
      baseUrl: baseUrlOf(options.baseUrl),
      key: options.key,
      // A browser's fetch refuses to be called as a method of something else.
      fetch: options.fetch ?? ((input, init) => fetch(input, init)),
      random: Math.random,
    }
  }

  /** Calls a route by its name. Throws GalleyError. */
  request<N extends RouteName>(name: N, ...[input, options]: Arguments<N>): Promise<Reply<N>> {
    const read = (response: Response) => (ROUTES[name].json ? response.json() : response)
    return this.send(name, input as AnyInput, options, read) as Promise<Reply<N>>
  }

  /** Calls a route and reads its answer in another way than as JSON. */
  send<T>(
    name: RouteName,
    input: AnyInput = {},
    options: RequestOptions = {},
    read: (response: Response) => Promise<T> | T,
  ): Promise<T> {
    const { method, path, idempotent, raw } = ROUTES[name]
    const { idempotencyKey, headers, signal, timeoutMs } = options
    const key = idempotent ? (idempotencyKey ?? crypto.randomUUID()) : undefined
    const hasJson = !raw && input.body !== undefined
    return send(
      this.connection,
      {
        method,
        path: pathOf(path, input.params) + queryOf(input.query),
        headers: {
          ...(hasJson && { 'content-type': 'application/json' }),
          ...(raw && { 'content-type': 'application/octet-stream' }),
          ...(key && { 'idempotency-key': key }),
          ...headers,
        },
        body: hasJson ? JSON.stringify(input.body) : ((input.body as Bytes | undefined) ?? null),
        repeatable: options.repeatable ?? (method !== 'POST' || idempotent),
        signal,
        timeoutMs,
      },
      read,
    )
  }

  /** The items of a listing, page after page. */
  async *each<N extends ListName>(
    name: N,
    input?: Input<N>,
    options?: CallOptions,
  ): AsyncGenerator<Item<N>, void> {
    for await (const page of this.pages(name, input, options)) yield* page.data as Item<N>[]
  }

  async *pages<N extends ListName>(
    name: N,
    input?: Input<N>,
    options?: CallOptions,
  ): AsyncGenerator<Reply<N>, void> {
    const given = (input ?? {}) as AnyInput
    let cursor = given.query?.cursor
    do {
      const query = { ...given.query, cursor }
      const read = (response: Response) => response.json() as Promise<Page>
      const page = await this.send(name, { ...given, query }, options, read)
      yield page as Reply<N>
      cursor = page.next_cursor ?? undefined
    } while (cursor !== undefined)
  }

  /**
   * Uploads a file and returns what names it from then on. An upload that was cut off goes on where it
   * stopped when the same bytes are given again, in another process too.
   */
  upload(source: Source, options?: UploadOptions): Promise<{ sha256: string; size: number }> {
    return upload(this, source, options)
  }

  /** Uploads the files of a version, publishes it and waits until it is ready. */
  publish(model: string, files: PublishFiles, options?: PublishOptions): Promise<Version> {
    return publish(this, model, files, options)
  }

  /** Asks a model, in JSON. `version`: a number or an alias. */
  infer(model: string, input: InferInput, options: InferOptions = {}) {
    return infer(this, model, input, options)
  }

  /** Asks a model with tensors as typed arrays, sent and answered as raw bytes. */
  inferBinary(
    model: string,
    input: { inputs: TypedInput[]; outputs?: string[] },
    options: InferOptions = {},
  ) {
    return inferBinary(this, model, input, options)
  }

  readonly jobs = {
    /**
     * Uploads the rows, creates the job (with a `model` inference, with a `service` a training set) and waits
     * for its end. Throws where it does not end well.
     */
    run: (input: JobInput | TrainingSetInput, options?: WaitOptions): Promise<Job> =>
      runJob(this, input, options),
    /** Waits until the job has ended, however it ends. */
    wait: (jobId: string, options?: WaitOptions): Promise<Job> => waitForJob(this, jobId, options),
    /** The bytes of the result; a connection that breaks is taken up again where it broke. */
    results: (jobId: string, options?: CallOptions): AsyncGenerator<Uint8Array, void> =>
      resultChunks(this, jobId, options),
  }
}

export type InferOptions = CallOptions & { version?: string | number }
export type { Manifest }

function baseUrlOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null
  if (!url || !['http:', 'https:'].includes(url.protocol)) {
    throw new GalleyError('invalid_request', `"${text}" is no URL; one is http://127.0.0.1:4500.`)
  }
  return url.origin + url.pathname.replace(/\/+$/, '')
}

function pathOf(path: string, params: Record<string, string> = {}): string {
  return path.replaceAll(/:([a-z_]+)/g, (_, name: string) => {
    const value = params[name]
    // An empty segment, "." or ".." would name another resource than the one that was meant.
    if (value === undefined || ['', '.', '..'].includes(value)) {
      throw new GalleyError('invalid_request', `"${value ?? ''}" cannot be a ${name}.`)
    }
    return encodeURIComponent(value)
  })
}

function queryOf(query: AnyInput['query'] = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined)
  const named = given.map(([name, value]): [string, string] => [name, String(value)])
  const text = new URLSearchParams(named).toString()
  return text && `?${text}`
}
