/** A stream of inferences: many at once, one reply each, in the order in which they were asked for. */
import type { ServerDuplexStream } from '@grpc/grpc-js'
import type { Departure } from '#core/deps.ts'
import type { GrpcEdge } from '#edge/grpc/edge.ts'
import type { InferRequest } from '#edge/grpc/messages.ts'
import { answer, endsStream } from '#edge/grpc/methods.ts'
import type { Fault } from '#edge/grpc/status.ts'
import { askingOf, statusOf } from './call.ts'

/** Requests of one stream that are not answered yet; past it the caller is read more slowly. */
const IN_FLIGHT_MAX = 256

type Call = ServerDuplexStream<InferRequest, unknown>

export function serveStream(edge: GrpcEdge, name: string, call: Call): void {
  const asking = askingOf(call, edge.deps.tracer !== null)
  /** Told when the caller leaves; those of requests that are answered are taken out again. */
  const leaving = new Set<() => void>()
  let inFlight = 0
  let hasFailed = false
  /** Resolves when all replies so far have been written. */
  let written: Promise<void> = Promise.resolve()

  function take(request: InferRequest): void {
    if (++inFlight >= IN_FLIGHT_MAX) call.pause()
    const answered = answerOne(request).catch((fault: Fault) =>
      endsStream(fault) ? fail(fault) : failed(request, fault),
    )
    written = Promise.all([answered, written]).then(([message]) => write(message))
  }

  async function answerOne(request: InferRequest): Promise<unknown> {
    const listeners: (() => void)[] = []
    const departure: Departure = {
      addEventListener(_, listener) {
        listeners.push(listener)
        leaving.add(listener)
      },
    }
    try {
      return (await answer(edge, name, request, { ...asking, departure })).message
    } finally {
      for (const listener of listeners) leaving.delete(listener)
    }
  }

  async function write(message: unknown): Promise<void> {
    if (--inFlight < IN_FLIGHT_MAX && call.isPaused()) call.resume()
    if (hasFailed || call.cancelled) return
    // A caller that does not read is not read either.
    if (!call.write(message)) await drained(call)
  }

  function fail(fault: Fault): null {
    if (!hasFailed) call.emit('error', statusOf(fault))
    hasFailed = true
    return null
  }

  asking.departure.addEventListener('abort', () => {
    for (const leave of leaving) leave()
  })
  call.on('data', take)
  call.on('end', () => void written.then(() => call.end()))
}

function failed({ model_name = '', id = '' }: InferRequest, { details }: Fault) {
  return { error_message: details, infer_response: { model_name, id } }
}

const ENDS_WAIT = ['drain', 'close', 'cancelled']

function drained(call: Call): Promise<void> {
  return new Promise(resolve => {
    const done = () => {
      for (const event of ENDS_WAIT) call.off(event, done)
      resolve()
    }
    for (const event of ENDS_WAIT) call.on(event, done)
  })
}
