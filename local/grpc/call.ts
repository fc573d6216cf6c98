/** From grpc-js to the edge and back: what a call says besides its messages, and how a fault is told. */
import { Metadata, type StatusObject } from '@grpc/grpc-js'
import type { Asking } from '#edge/grpc/edge.ts'
import type { Fault } from '#edge/grpc/status.ts'
import { STICKY_HEADER } from '#edge/rollouts/answering.ts'

type ServerCall = {
  metadata: Metadata
  cancelled: boolean
  getDeadline(): Date | number
  on(event: 'cancelled', listener: () => void): unknown
}

/** `isTraced`: whether anything is; what a call says of its trace is read only then. */
export function askingOf(call: ServerCall, isTraced: boolean): Asking {
  const { metadata } = call
  return {
    authorization: authorizationOf(metadata),
    sticky: textOf(metadata, STICKY_HEADER),
    cacheControl: textOf(metadata, 'cache-control'),
    deadline: Number(call.getDeadline()),
    trace: isTraced
      ? { traceparent: textOf(metadata, 'traceparent'), tracestate: textOf(metadata, 'tracestate') }
      : null,
    departure: {
      addEventListener(_, listener) {
        if (call.cancelled) listener()
        else call.on('cancelled', listener)
      },
    },
  }
}

export function authorizationOf(metadata: Metadata): string | undefined {
  return textOf(metadata, 'authorization')
}

function textOf(metadata: Metadata, name: string): string | undefined {
  const [value] = metadata.get(name)
  return value === undefined ? undefined : String(value)
}

export function statusOf({ code, details, trailers }: Fault): StatusObject {
  return { code, details, metadata: metadataOf(trailers) }
}

export function metadataOf(headers: Record<string, string>): Metadata {
  const metadata = new Metadata()
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value)
  return metadata
}
